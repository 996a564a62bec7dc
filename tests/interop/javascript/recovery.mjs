// Recovery codes. protocol/FORMAT.md sections A.6 and G.2.

import { CROCKFORD, H, peopleCode } from "./encoding.mjs";
import { xwingPublic } from "./xwing.mjs";

const SEED_BYTES = 32;
const CHECK_BYTES = 3;
const LETTERS = 56;

const checkOf = (seed) => H("recovery-code", seed).subarray(0, CHECK_BYTES);

export function writeRecoveryCode(seed) {
  let number = BigInt(`0x${Buffer.concat([seed, checkOf(seed)]).toString("hex")}`);
  let text = "";
  for (let place = 0; place < LETTERS; place += 1) {
    text = CROCKFORD[Number(number & 31n)] + text;
    number >>= 5n;
  }
  return text.match(/.{4}/g).join("-");
}

/** The seed: case, white space and dashes do not matter, O means 0, I and L mean 1. */
export function readRecoveryCode(typed) {
  const letters = typed.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  const digits = [...letters].map((letter) => CROCKFORD.indexOf(letter));
  if (digits.length !== LETTERS || digits.includes(-1)) throw new Error("E_FORMAT: not a recovery code");
  const number = digits.reduce((sum, digit) => (sum << 5n) | BigInt(digit), 0n);
  const bytes = Buffer.from(number.toString(16).padStart(2 * (SEED_BYTES + CHECK_BYTES), "0"), "hex");
  const [seed, check] = [bytes.subarray(0, SEED_BYTES), bytes.subarray(SEED_BYTES)];
  if (!check.equals(checkOf(seed))) throw new Error("E_FORMAT: the checksum does not fit");
  return seed;
}

/** What a paper is known by. */
export function paperOf(seed) {
  return peopleCode(H("recovery-slot", xwingPublic(seed))).slice(0, 9);
}
