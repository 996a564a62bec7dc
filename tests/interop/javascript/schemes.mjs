// The schemes on one block, and check values. protocol/FORMAT.md sections F.3 and F.4.

import { H } from "./encoding.mjs";
import { Stream, schemeDigest } from "./keystream.mjs";

const apply = (permutation, values) => permutation.map((place) => values[place]);

/** `le` on the d bytes of a block; permutation and mask have 2d entries. */
export function leBlock(bytes, permutation, mask) {
  const d = bytes.length;
  const nibbles = [...Array.from(bytes, (byte) => byte & 15), ...Array.from(bytes, (byte) => byte >> 4)];
  const y = apply(permutation, nibbles).map((nibble, i) => (mask[i] ? 15 - nibble : nibble));
  return Buffer.from(Array.from({ length: d }, (_, k) => (y[d + k] << 4) | y[k]));
}

/** The map of a scheme on blocks of d bytes, and the permutation it uses. */
export function blockCipher(id, key, d) {
  if (id === "block-shuffle") {
    const permutation = new Stream(key, "perm/byte").perm(d);
    return { permutation, encrypt: (bytes) => Buffer.from(apply(permutation, bytes)) };
  }
  const permutation = new Stream(key, "perm/nibble").perm(2 * d);
  const mask = new Stream(key, "mask/nibble").bits(2 * d);
  return { permutation, encrypt: (bytes) => leBlock(bytes, permutation, mask) };
}

/** The check value of a scheme whose images are one block. */
export function checkValue(descriptor, key) {
  const [height, width, channels] = descriptor.shape;
  const d = height * width * channels;
  const plain = new Stream(key, "check-image").bytes(4 * d);
  const { encrypt } = blockCipher(descriptor.id, key, d);
  const images = [0, 1, 2, 3].map((place) => encrypt(plain.subarray(place * d, (place + 1) * d)));
  return H("scv", schemeDigest(descriptor), Buffer.concat(images));
}
