// Sealed files. protocol/FORMAT.md section H.5, and C2SP chunked-encryption, which it names.

import { createDecipheriv, createHmac } from "node:crypto";

import { canon, expand, hex, utf8 } from "./encoding.mjs";

const SALT = 24;
const HEAD = 56;
const CHUNK = 16384;
const TAG = 16;

export function fileKey(dataKey, manifest, shard) {
  return expand(dataKey, "sealed-shard", hex(manifest), hex(shard.sha256));
}

export function fileContext(fed, manifest, { bytes, path, sha256 }) {
  return canon({ bytes, fed, manifest, path, sha256, v: 1 });
}

export const sealedSize = (plain) => HEAD + plain + TAG * (Math.floor(plain / CHUNK) + 1);

/** HKDF-Expand with SHA-512 to 76 bytes, which take two blocks: key (32) ‖ base nonce (12) ‖ commitment (32). */
function cobblestone(key, salt, context) {
  const info = Buffer.concat([utf8("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"), salt, context]);
  const block = (before, count) => createHmac("sha512", key).update(before).update(info).update(count).digest();
  const first = block(Buffer.alloc(0), Buffer.from([1]));
  const material = Buffer.concat([first, block(first, Buffer.from([2]))]);
  return { secret: material.subarray(0, 32), base: material.subarray(32, 44), commitment: material.subarray(44, 76) };
}

function nonceOf(base, number) {
  const nonce = Buffer.from(base);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ number) >>> 0, 8);
  return nonce;
}

/** The plain bytes of a sealed file, or an error. */
export function plainOf(file, key, context) {
  const { secret, base, commitment } = cobblestone(key, file.subarray(0, SALT), context);
  if (!commitment.equals(file.subarray(SALT, HEAD))) throw new Error("E_TAMPERED: another key or context");
  const plain = [];
  for (let at = HEAD, number = 0; at < file.length; number += 1, at += CHUNK + TAG) {
    const sealed = file.subarray(at, at + CHUNK + TAG);
    const decipher = createDecipheriv("aes-256-gcm", secret, nonceOf(base, number));
    decipher.setAuthTag(sealed.subarray(-TAG));
    plain.push(Buffer.concat([decipher.update(sealed.subarray(0, -TAG)), decipher.final()]));
  }
  if (!(plain.at(-1)?.length < CHUNK)) throw new Error("E_TAMPERED: it ends too early");
  return Buffer.concat(plain);
}
