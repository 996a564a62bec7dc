// Documents that our readers accept have the same ids, codes and signatures here.
//
//   node tests/interop/javascript/accepted.mjs [folder of accepted vectors]
//
// One line {name, ok} a vector of a kind below; exit 1 if any differs. Kinds that need a whole reader are passed over.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

import { canon, hex, peopleCode, utf8 } from "./encoding.mjs";
import { allFit, bodyOf, fingerprint, midOf, payloadOf, signersOf, tagDigest } from "./signatures.mjs";

const HERE = fileURLToPath(new URL("../../vectors/accepted", import.meta.url));
const [FOLDER = HERE] = process.argv.slice(2);

const codeOf = (id) => peopleCode(hex(id));
const entriesOf = (genesis) => ["members", "trainers", "operators"].flatMap((place) => bodyOf(genesis)[place]);
const isCanonical = (envelope) => canon(bodyOf(envelope)).equals(payloadOf(envelope));

/** What is true of every message: canonical, signed, by people of the roster. */
function demandSound(message, genesis) {
  const sound = isCanonical(message) && message.signatures.length > 0 && allFit(message, entriesOf(genesis));
  if (!sound) throw new Error("not canonical, or a signature does not fit");
}

const FACTS = {
  canonical(text) {
    const value = JSON.parse(text);
    if (!canon(value).equals(utf8(text))) throw new Error("another canonical form");
    return { value };
  },
  b64({ text }) {
    const bytes = Buffer.from(text, "base64url");
    if (bytes.toString("base64url") !== text) throw new Error("another spelling");
    return { hex: bytes.toString("hex") };
  },
  key(entry) {
    return { fpr: fingerprint(entry), code: codeOf(fingerprint(entry)) };
  },
  "people-code"({ digest, log }) {
    return { code: codeOf(digest ?? midOf(log[0])) };
  },
  envelope(text) {
    const envelope = JSON.parse(text);
    return { mid: midOf(envelope), signers: signersOf(envelope) };
  },
  card(envelope) {
    const { entry } = bodyOf(envelope);
    if (!isCanonical(envelope) || !allFit(envelope, [entry])) throw new Error("the signature does not fit");
    return { fpr: fingerprint(entry), code: codeOf(fingerprint(entry)) };
  },
  propose({ log, message }) {
    demandSound(message, log[0]);
    const { epoch, seq } = bodyOf(message);
    return { sid: midOf(message), epoch, seq };
  },
  commit({ log, message }) {
    demandSound(message, log[0]);
    return { author: bodyOf(message).from, mid: midOf(message) };
  },
  manifest({ log, message }) {
    demandSound(message, log[0]);
    const { predicate } = bodyOf(message);
    return { mid: midOf(message), holder: predicate.holder, tag: tagDigest(predicate) };
  },
  "bundle-statement"({ log, message }) {
    demandSound(message, log[0]);
    const { predicate } = bodyOf(message);
    return { mid: midOf(message), trainer: predicate.trainer, tag: tagDigest(predicate) };
  },
  tag({ tag }) {
    return { digest: tagDigest(tag) };
  },
};
FACTS.reveal = FACTS.commit;

function fits({ kind, given, expected }) {
  try {
    return isDeepStrictEqual(FACTS[kind](given), expected);
  } catch (error) {
    console.error(String(error));
    return false;
  }
}

let sound = true;
for (const name of readdirSync(FOLDER).sort()) {
  const vector = JSON.parse(readFileSync(join(FOLDER, name), "utf8"));
  if (!(vector.kind in FACTS)) continue;
  const ok = fits(vector);
  sound &&= ok;
  console.log(JSON.stringify({ name, ok }));
}
process.exitCode = sound ? 0 : 1;
