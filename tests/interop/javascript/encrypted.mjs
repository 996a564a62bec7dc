// Encrypts the images of tests/vectors/schemes in JavaScript, and computes their check values.
//
//   node tests/interop/javascript/encrypted.mjs [folder of vectors]
//
// One line {name, ok} a value on stdout, what was expected and got on stderr; exit 1 if any differs. `vortex` is left out
// (see schemes.mjs). Written from protocol/FORMAT.md section F. Node 18 or newer, standard library only.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { hex } from "./encoding.mjs";
import { schemeDigest } from "./keystream.mjs";
import { KNOWN, checkValue, encrypted } from "./schemes.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const [FOLDER = join(ROOT, "tests", "vectors", "schemes")] = process.argv.slice(2);

/** Byte i of all images together, as the vectors say in words. */
const plainByte = (i) => (7 * i + 13 * Math.floor(i / 256) + 3) % 256;

function results({ descriptor, scheme_key, ids }) {
  const [key, [height, width, channels]] = [hex(scheme_key), descriptor.shape];
  const size = height * width * channels;
  const plain = (place) => Array.from({ length: size }, (_, i) => plainByte(place * size + i));
  const all = Buffer.concat(ids.map((id, place) => encrypted(descriptor, key, plain(place), id)));
  return {
    scheme_digest: schemeDigest(descriptor).toString("hex"),
    encrypted: all.toString("hex"),
    encrypted_sha256: createHash("sha256").update(all).digest("hex"),
    encrypted_first: all.toString("hex").slice(0, 96),
    scv: checkValue(descriptor, key).toString("hex"),
  };
}

let sound = true;
for (const name of readdirSync(FOLDER).sort()) {
  for (const [place, vector] of JSON.parse(readFileSync(join(FOLDER, name), "utf8")).cases.entries()) {
    if (!KNOWN.has(vector.descriptor.id)) continue;
    for (const [what, got] of Object.entries(results(vector))) {
      if (!(what in vector)) continue;
      const ok = vector[what] === got;
      sound &&= ok;
      console.log(JSON.stringify({ name: `${name} ${place}: ${what}`, ok }));
      if (!ok) console.error(`${name} ${place}: ${what}: expected ${vector[what]}, got ${got}`);
    }
  }
}
process.exitCode = sound ? 0 : 1;
