// The schemes and their check values. protocol/FORMAT.md sections F.3 and F.4, all but `vortex`, whose sines may differ
// in the last bit from one library to the next.
//
// An image is a list of H·W·C bytes in (row, column, channel) order.

import { H } from "./encoding.mjs";
import { Stream, schemeDigest } from "./keystream.mjs";

const ORDER = ["012", "021", "102", "120", "201", "210"].map((digits) => Array.from(digits, Number));
const LANE = 1024;

const range = (count) => Array.from({ length: count }, (_, place) => place);
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

/** What a scheme draws from, and what it is asked to encrypt. */
class Task {
  constructor({ shape: [height, width, channels], params }, key, image, id) {
    Object.assign(this, { height, width, channels, params, key, image: Array.from(image), id });
    this.pixels = height * width;
    this.side = params.block;
    this.across = width / this.side;
    this.count = this.pixels / this.side ** 2;
    this.size = this.side ** 2 * channels;
  }

  stream(label) {
    return new Stream(this.key, label);
  }

  ofImage(label) {
    return Stream.ofImage(this.key, label, this.id);
  }

  /** Of the image or of all, as the descriptor says. */
  scoped(label) {
    return this.params.scope === "image" ? this.ofImage(label) : this.stream(label);
  }

  /** An order of colours for each of so many pixels or blocks. */
  colours(stream, times) {
    return this.channels === 3 ? apply(stream.belows(6, times), ORDER) : range(times).map(() => [0]);
  }

  /** Where the bytes of block number k stand in the image, in order. */
  places(k, side = this.side, width = this.width) {
    const across = width / side;
    const corner = Math.floor(k / across) * side * width + (k % across) * side;
    const pixels = range(side ** 2).map((i) => corner + Math.floor(i / side) * width + (i % side));
    return pixels.flatMap((pixel) => range(this.channels).map((channel) => pixel * this.channels + channel));
  }

  /** The image made of blocks: `made(blocks)[k]` are the bytes of block k. */
  blockwise(made) {
    const result = Array(this.image.length);
    const blocks = range(this.count).map((k) => apply(this.places(k), this.image));
    for (const [k, block] of made(blocks).entries()) {
      for (const [i, place] of this.places(k).entries()) result[place] = block[i];
    }
    return result;
  }

  /** Pixel number i of the result is pixel number `source[i]`, with all its channels. */
  moved(image, source) {
    return source.flatMap((pixel) => image.slice(pixel * this.channels, (pixel + 1) * this.channels));
  }
}

const negated = (byte, flip) => (flip ? 255 - byte : byte);

/** One combined cat map on a square of side t. */
function cat(square, t, channels, rolls, turns) {
  const result = Array(square.length);
  for (const pixel of range(t * t)) {
    for (const k of range(channels)) {
      let [r, c] = [Math.floor(pixel / t), pixel % t];
      for (let turn = 0; turn < turns[k]; turn += 1) [r, c] = [(r + c) % t, (r + 2 * c) % t];
      const from = (k - rolls[pixel] + channels) % channels;
      result[(r * t + c) * channels + k] = square[pixel * channels + from];
    }
  }
  return result;
}

/** Mirrored left to right from t = 4 on, then t mod 4 quarters counter-clockwise: where each pixel comes from. */
function turn(t, side) {
  const last = side - 1;
  const one = { 0: (r, c) => [r, c], 1: (r, c) => [c, last - r], 2: (r, c) => [last - r, last - c], 3: (r, c) => [last - c, r] };
  return range(side ** 2).map((pixel) => {
    const [r, c] = one[t % 4](Math.floor(pixel / side), pixel % side);
    return r * side + (t >= 4 ? last - c : c);
  });
}

/** The pixels of ring k around (0, 0), as [row, column], in order of atan2(row, column). */
function ring(k) {
  const offsets = range(2 * k + 3).map((place) => place - k - 1);
  const pixels = offsets.flatMap((u) => offsets.map((v) => [u, v]));
  const near = pixels.filter(([u, v]) => Math.floor(Math.sqrt(u * u + v * v) + 0.5) === k);
  return near.sort(([u, v], [x, y]) => Math.atan2(u, v) - Math.atan2(x, y));
}

/** Place number i of the sorted ones takes what stands at number i of the unsorted ones. */
function replaced(values, moved) {
  const result = [...values];
  const sorted = [...moved].sort((a, b) => a - b);
  for (const [i, place] of sorted.entries()) result[place] = values[moved[i]];
  return result;
}

const ENCRYPT = {
  plain: (task) => task.image,
  "block-shuffle": (task) => simple("block-shuffle", task),
  le: (task) => simple("le", task),
  "cat-map"(task) {
    const { height: side, channels, pixels } = task;
    const half = side / 2;
    const mapped = (square, t, j) => {
      const rolls = channels > 1 ? task.stream(`roll/${j}`).belows(channels, t * t) : Array(t * t).fill(0);
      return cat(square, t, channels, rolls, task.stream(`turns/${j}`).belows(8, channels).map((drawn) => drawn + 2));
    };
    const apart = (place) => (place < half ? 2 * place : 2 * (place - half) + 1);
    const parted = range(pixels).map((pixel) => apart(Math.floor(pixel / side)) * side + apart(pixel % side));
    const image = task.moved(mapped(task.image, side, 4), parted);
    const result = Array(image.length);
    for (const j of range(4)) {
      const places = task.places(j, half, side);
      for (const [i, byte] of mapped(apply(places, image), half, j).entries()) result[places[i]] = byte;
    }
    return result;
  },
  "patch-shuffle"(task) {
    const p = task.ofImage("perm/block").perm(task.count);
    return task.blockwise((blocks) => apply(p, blocks));
  },
  "patch-mix"(task) {
    const [half, width] = [task.side / 2, task.width / 2];
    const result = Array(task.image.length / 4);
    for (const k of range(task.count)) {
      const block = apply(task.places(k), task.image);
      const quarters = range(4).map((quarter) => apply(task.places(quarter, half, task.side), block));
      for (const [i, place] of task.places(k, half, width).entries()) {
        result[place] = (quarters.reduce((sum, quarter) => sum + quarter[i], 0) + 2) >> 2;
      }
    }
    return result;
  },
  pixel(task) {
    const m = task.scoped("mask/pixel").bits(task.image.length);
    const t = task.image.map((byte, i) => negated(byte, m[i]));
    const orders = task.colours(task.scoped("order/pixel"), task.pixels);
    return orders.flatMap((order, i) => order.map((channel) => t[i * task.channels + channel]));
  },
  "logistic-xor"(task) {
    const lanes = Math.ceil(task.pixels / LANE);
    const seeds = task.scoped("logistic/seed");
    const drawn = range(lanes * task.channels).map(() => seeds.logistic(LANE));
    const q = task.stream("order/sequence").perm(task.pixels);
    const s = (c, i) => drawn[(i % lanes) * task.channels + c][Math.floor(i / lanes)];
    return task.image.map((byte, i) => byte ^ s(i % task.channels, q[Math.floor(i / task.channels)]));
  },
  "vortex-ring"(task) {
    const { height, width } = task;
    let image = task.image;
    for (let i = 1; i <= task.params.vortices; i += 1) {
      const stream = task.stream(`ring/${i}`);
      const [a, b] = [1 + stream.below(height - 2), 1 + stream.below(width - 2)];
      const source = range(task.pixels);
      for (let k = 1; k <= Math.min(a, b, height - 1 - a, width - 1 - b); k += 1) {
        const places = ring(k).map(([u, v]) => (a + u) * width + b + v);
        const s = stream.below(places.length);
        for (const [j, place] of places.entries()) source[places[(j + s) % places.length]] = place;
      }
      image = task.moved(image, source);
    }
    return image;
  },
  "vit-block"(task) {
    const p = task.stream("perm/block").perm(task.count);
    const [q, m] = [task.stream("perm/byte").perm(task.size), task.stream("mask/byte").bits(task.size)];
    return task.blockwise((blocks) => p.map((k) => apply(q, blocks[k]).map((byte, i) => negated(byte, m[i]))));
  },
  ele(task) {
    const [permutations, n] = [task.stream("perm/nibble"), 2 * task.size];
    const bits = task.stream("mask/nibble").bits(task.count * n);
    const p = task.stream("perm/block").perm(task.count);
    return task.blockwise((blocks) => {
      const own = blocks.map((block, j) => leBlock(block, permutations.perm(n), bits.slice(j * n, (j + 1) * n)));
      return apply(p, own);
    });
  },
  etc(task) {
    const p = task.stream("perm/block").perm(task.count);
    const t = task.stream("turn/block").belows(8, task.count);
    const m = task.stream("mask/block").bits(task.count);
    const orders = task.colours(task.stream("order/block"), task.count);
    const pixel = (block, i, k) => orders[k].map((channel) => negated(block[i * task.channels + channel], m[k]));
    return task.blockwise((blocks) =>
      p.map((from, k) => turn(t[k], task.side).flatMap((i) => pixel(blocks[from], i, k))),
    );
  },
  restricted(task) {
    const u = task.ofImage("moved/block").choose(task.count, task.count - task.params.fixed_blocks);
    const v = task.ofImage("moved/byte").choose(task.size, task.size - task.params.fixed_pixels);
    return task.blockwise((blocks) => replaced(blocks, u).map((block) => replaced(block, v)));
  },
};

/** A scheme that treats all blocks alike. */
function simple(id, task) {
  const { encrypt } = blockCipher(id, task.key, task.size);
  return task.blockwise((blocks) => blocks.map((block) => encrypt(block)));
}

export const KNOWN = new Set(Object.keys(ENCRYPT));

/** One encrypted image. */
export function encrypted(descriptor, key, image, id) {
  return Buffer.from(ENCRYPT[descriptor.id](new Task(descriptor, key, image, id)));
}

/** The check value of a scheme. */
export function checkValue(descriptor, key) {
  const [height, width, channels] = descriptor.shape;
  const size = height * width * channels;
  const plain = new Stream(key, "check-image").bytes(4 * size);
  const one = (place) => encrypted(descriptor, key, plain.subarray(place * size, (place + 1) * size), `check/${place}`);
  return H("scv", schemeDigest(descriptor), Buffer.concat(range(4).map(one)));
}
