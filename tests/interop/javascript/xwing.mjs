// The public key of an X-Wing seed. protocol/FORMAT.md section A.7; ML-KEM-768 key generation after FIPS 203.

import { createHash, createPrivateKey, createPublicKey } from "node:crypto";

const Q = 3329;
const K = 3;
const N = 256;
const ED25519_PKCS8 = "302e020100300506032b657004220420"; // RFC 8410 section 7
const X25519_PKCS8 = "302e020100300506032b656e04220420";

const sha3 = (data) => createHash("sha3-512").update(data).digest();
const shake = (bits, data, outputLength) => createHash(`shake${bits}`, { outputLength }).update(data).digest();

/** 1216 bytes: ML-KEM-768 key (1184) ‖ X25519 key (32). */
export function xwingPublic(seed) {
  const material = shake(256, seed, 96);
  return Buffer.concat([mlkemPublic(material.subarray(0, 32)), x25519Public(material.subarray(64))]);
}

export const ed25519Public = (seed) => rawPublic(ED25519_PKCS8, seed);
const x25519Public = (scalar) => rawPublic(X25519_PKCS8, scalar);

function rawPublic(prefix, secret) {
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from(prefix, "hex"), secret]),
    format: "der",
    type: "pkcs8",
  });
  return Buffer.from(createPublicKey(key).export({ format: "jwk" }).x, "base64url");
}

/** K-PKE.KeyGen, algorithm 13, without the secret half; d is the first half of the ML-KEM seed. */
function mlkemPublic(d) {
  const seeds = sha3(Buffer.concat([d, Buffer.from([K])]));
  const [rho, sigma] = [seeds.subarray(0, 32), seeds.subarray(32)];
  const secret = [0, 1, 2].map((i) => ntt(noise(sigma, i)));
  const rows = [0, 1, 2].map((i) => {
    const error = ntt(noise(sigma, K + i));
    const products = [0, 1, 2].map((j) => multiplied(uniform(rho, j, i), secret[j]));
    return error.map((value, place) => products.reduce((sum, product) => sum + product[place], value) % Q);
  });
  return Buffer.concat([...rows.map(encoded), rho]);
}

/** SampleNTT, algorithm 7. */
function uniform(rho, j, i) {
  const found = [];
  const stream = shake(128, Buffer.concat([rho, Buffer.from([j, i])]), 4096);
  for (let at = 0; found.length < N; at += 3) {
    const [a, b, c] = stream.subarray(at, at + 3);
    for (const value of [a + 256 * (b % 16), (b >> 4) + 16 * c]) if (value < Q && found.length < N) found.push(value);
  }
  return found;
}

/** SamplePolyCBD with eta = 2, algorithm 8. */
function noise(sigma, counter) {
  const bytes = shake(256, Buffer.concat([sigma, Buffer.from([counter])]), 128);
  const bit = (place) => (bytes[place >> 3] >> (place & 7)) & 1;
  return Array.from({ length: N }, (_, i) => bit(4 * i) + bit(4 * i + 1) - bit(4 * i + 2) - bit(4 * i + 3));
}

const reversed = (i) => Number.parseInt(i.toString(2).padStart(7, "0").split("").reverse().join(""), 2);

function power(exponent) {
  let result = 1;
  for (let i = 0; i < exponent; i += 1) result = (result * 17) % Q;
  return result;
}

const modulo = (value) => ((value % Q) + Q) % Q;

/** Algorithm 9. */
function ntt(polynomial) {
  const f = [...polynomial];
  let i = 1;
  for (let length = 128; length >= 2; length /= 2) {
    for (let start = 0; start < N; start += 2 * length) {
      const zeta = power(reversed(i));
      i += 1;
      for (let j = start; j < start + length; j += 1) {
        const t = zeta * f[j + length];
        f[j + length] = modulo(f[j] - t);
        f[j] = modulo(f[j] + t);
      }
    }
  }
  return f;
}

/** Algorithms 11 and 12. */
function multiplied(f, g) {
  const product = [];
  for (let i = 0; i < N / 2; i += 1) {
    const gamma = power(2 * reversed(i) + 1);
    const [a0, a1, b0, b1] = [f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]];
    product.push(modulo(a0 * b0 + modulo(a1 * b1) * gamma), modulo(a0 * b1 + a1 * b0));
  }
  return product;
}

/** ByteEncode with 12 bits, algorithm 5. */
function encoded(polynomial) {
  const bytes = Buffer.alloc(384);
  for (let i = 0; i < N / 2; i += 1) {
    const [a, b] = [polynomial[2 * i], polynomial[2 * i + 1]];
    bytes.set([a & 255, (a >> 8) | ((b & 15) << 4), b >> 4], 3 * i);
  }
  return bytes;
}
