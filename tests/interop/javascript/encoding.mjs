// Bytes and text: canonical JSON, tagged hashes, key derivation, codes for people. protocol/FORMAT.md section A.

import { createHash, createHmac } from "node:crypto";

export const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

export const utf8 = (text) => Buffer.from(text, "utf8");
export const hex = (text) => Buffer.from(text, "hex");

/** Eight bytes, most significant first. */
export function u64be(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** H(tag, p1..pk) of A.3: 32 bytes. */
export function H(tag, ...parts) {
  const hash = createHash("sha256").update(utf8(`blindsight1:${tag}`)).update(Buffer.alloc(1));
  for (const part of parts) hash.update(u64be(part.length)).update(part);
  return hash.digest();
}

/** HKDF-Extract with SHA-256 (RFC 5869 section 2.2). */
export function extract(salt, material) {
  return createHmac("sha256", salt).update(material).digest();
}

/** HKDF-Expand with SHA-256 to 32 bytes (RFC 5869 section 2.3): one block, hence one HMAC. */
export function expand(key, label, ...parts) {
  return createHmac("sha256", key).update(H(`info:${label}`, ...parts)).update(Buffer.from([1])).digest();
}

/** The canonical form of A.2 as bytes. */
export function canon(value) {
  return utf8(written(value, 0));
}

function written(value, depth) {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "boolean" || value === null) return String(value);
  if (typeof value === "number") return integer(value);
  if (depth >= 16) throw new Error("E_CANON: nested too deeply");
  if (Array.isArray(value)) return `[${value.map((item) => written(item, depth + 1)).join(",")}]`;
  // Keys are ASCII, so UTF-16 order is byte order.
  return `{${Object.keys(value).sort().map((key) => `${ascii(key)}:${written(value[key], depth + 1)}`).join(",")}}`;
}

function quoted(text) {
  if (/\p{Surrogate}/u.test(text)) throw new Error("E_CANON: a lone surrogate");
  return JSON.stringify(text);
}

function ascii(key) {
  if (!/^[\x00-\x7f]*$/.test(key)) throw new Error("E_CANON: keys are ASCII");
  return JSON.stringify(key);
}

function integer(value) {
  if (!Number.isSafeInteger(value)) throw new Error("E_CANON: numbers are integers below 2^53");
  return String(value);
}

/** Whether JSON text stands in its one form, as payloads must. */
export function isCanonical(text) {
  return canon(JSON.parse(text)).equals(utf8(text));
}

/** The code for people of A.6: ten groups of four characters. */
export function peopleCode(digest) {
  let number = BigInt(`0x${digest.subarray(0, 25).toString("hex")}`);
  let text = "";
  for (let place = 0; place < 40; place += 1) {
    text = CROCKFORD[Number(number & 31n)] + text;
    number >>= 5n;
  }
  return text.match(/.{4}/g).join("-");
}

/** The message id of A.4. */
export function mid(kind, payload) {
  return H("mid", utf8(`application/vnd.blindsight.${kind}.v1+json`), payload);
}
