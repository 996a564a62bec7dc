// Streams and draws. protocol/FORMAT.md sections F.1 and F.2.

import { createCipheriv } from "node:crypto";

import { H, canon, expand, hex, u64be, utf8 } from "./encoding.mjs";

export const schemeDigest = (descriptor) => H("scheme", canon(descriptor));

export function schemeKey(secret, fed, epoch, digest) {
  return expand(secret, "scheme", hex(fed), u64be(epoch), digest);
}

const NONCE = 12;

export class Stream {
  constructor(key, label, ...context) {
    this.start(expand(key, "stream", utf8(label), ...context.map(utf8)), Buffer.alloc(NONCE));
  }

  /** The keystream of a label for an image. */
  static ofImage(key, label, id) {
    const stream = Object.create(Stream.prototype);
    stream.start(expand(key, "stream", utf8(label)), H("image", utf8(id)).subarray(0, NONCE));
    return stream;
  }

  start(streamKey, nonce) {
    // RFC 8439 with counter 0; OpenSSL takes counter (4, little-endian) ‖ nonce (12) as its IV.
    this.cipher = createCipheriv("chacha20", streamKey, Buffer.concat([Buffer.alloc(4), nonce]));
  }

  bytes(count) {
    return this.cipher.update(Buffer.alloc(count));
  }

  u32() {
    return this.bytes(4).readUInt32LE();
  }

  u64() {
    return this.bytes(8).readBigUInt64LE();
  }

  /** A uniform draw from 0 … bound − 1, 2 ≤ bound ≤ 2^32. */
  below(bound) {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let drawn = this.u32();
    while (drawn >= limit) drawn = this.u32();
    return drawn % bound;
  }

  belows(bound, times) {
    return Array.from({ length: times }, () => this.below(bound));
  }

  perm(count) {
    const places = Array.from({ length: count }, (_, place) => place);
    for (let i = count - 1; i >= 1; i -= 1) swap(places, i, this.below(i + 1));
    return places;
  }

  bits(count) {
    const bytes = this.bytes(Math.ceil(count / 8));
    return Array.from({ length: count }, (_, k) => (bytes[k >> 3] >> (k & 7)) & 1);
  }

  choose(count, some) {
    const places = Array.from({ length: count }, (_, place) => place);
    for (let i = 0; i < some; i += 1) swap(places, i, i + (count - i >= 2 ? this.below(count - i) : 0));
    return places.slice(0, some);
  }

  /** Start values x and r of the logistic map. All steps are exact in binary64. */
  logisticStart() {
    const x = Number(2n * (this.u64() >> 12n) + 1n) / 2 ** 53;
    const r = 4 - (1 + (this.u32() & 0xffffff)) / 2 ** 31;
    return { x, r };
  }

  logistic(count) {
    for (;;) {
      const values = iterated(this.logisticStart(), 1000 + count);
      if (values) return Buffer.from(values.slice(1000).map((x) => Math.floor(256 * x)));
    }
  }
}

/** `count` values of the logistic map, or null if it leaves the open interval on the way. */
function iterated({ x, r }, count) {
  const values = [];
  while (values.length < count) {
    x = r * (x * (1 - x));
    if (!(x > 0 && x < 1)) return null;
    values.push(x);
  }
  return values;
}

function swap(list, i, j) {
  [list[i], list[j]] = [list[j], list[i]];
}
