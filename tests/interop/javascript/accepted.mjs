// Documents that our readers accept have the same ids, codes and signatures here.
//
//   node tests/interop/javascript/accepted.mjs [folder of accepted vectors]
//
// One line {name, ok} a vector of a kind below; exit 1 if any differs. Kinds that need a whole reader are passed over;
// of kinds in PART, some facts are compared and what needs a reader is left out.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

import { canon, hex, peopleCode, utf8 } from "./encoding.mjs";
import { paperOf, readRecoveryCode, writeRecoveryCode } from "./recovery.mjs";
import { fileContext, fileKey, plainOf, sealedSize } from "./sealing.mjs";
import { allFit, bodyOf, fingerprint, midOf, payloadOf, signersOf, tagDigest } from "./signatures.mjs";

const HERE = fileURLToPath(new URL("../../vectors/accepted", import.meta.url));
const [FOLDER = HERE] = process.argv.slice(2);

const codeOf = (id) => peopleCode(hex(id));
const entriesOf = (genesis) => ["members", "trainers", "operators"].flatMap((place) => bodyOf(genesis)[place]);
const isCanonical = (envelope) => canon(bodyOf(envelope)).equals(payloadOf(envelope));

/** What is true of every message: canonical, signed, by people of the roster or by one it brings. */
function demandSound(message, genesis, more = []) {
  const entries = [...entriesOf(genesis), ...more];
  const sound = isCanonical(message) && message.signatures.length > 0 && allFit(message, entries);
  if (!sound) throw new Error("not canonical, or a signature does not fit");
}

/** Copies of one record: the first that is sound, by the people of the log or by those it names. */
function soundRecord({ log, records }) {
  const named = records[0].payloadType.includes(".roster.") ? entriesOf(records[0]) : [];
  const known = log.filter(({ payloadType }) => /\.(genesis|roster)\./.test(payloadType)).flatMap(entriesOf);
  const sound = records.find((copy) => isCanonical(copy) && allFit(copy, [...known, ...named]));
  if (!sound || records.some((copy) => midOf(copy) !== midOf(sound))) throw new Error("no sound copy");
  return sound;
}

/** The epochs of a log that is known to be sound, and the members of its last roster (C.3, C.5). */
function chainOf(log) {
  const bodies = log.map(bodyOf);
  const epochs = new Map(log.map((record, i) => [bodies[i].epoch, midOf(record)]).filter(([epoch]) => epoch));
  return { epochs, people: bodies.filter(({ members }) => members).at(-1).members };
}

/** Of each member the first notice about an epoch: `created`, then mid. */
function firstOfEach(notices) {
  const order = (notice) => `${bodyOf(notice).created} ${midOf(notice)}`;
  const first = new Map();
  for (const notice of notices.sort((a, b) => (order(a) < order(b) ? -1 : 1))) {
    const { from, epoch } = bodyOf(notice);
    if (!first.has(`${from} ${epoch}`)) first.set(`${from} ${epoch}`, midOf(notice));
  }
  return first.values();
}

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const fprsOf = (entries) => entries.map(fingerprint);

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
  roster(given) {
    const record = soundRecord(given);
    const { seq, members, trainers, operators } = bodyOf(record);
    return {
      record: midOf(record),
      seq,
      members: fprsOf(members),
      trainers: fprsOf(trainers),
      operators: fprsOf(operators),
    };
  },
  retire(given) {
    const record = soundRecord(given);
    const { seq, epochs } = bodyOf(record);
    return { record: midOf(record), seq, retired: epochs };
  },
  notice({ log, notices }) {
    const { epochs, people } = chainOf(log);
    const counts = notices.filter((notice) => {
      const { from, epoch, record, fed } = bodyOf(notice);
      const author = people.filter(({ fpr }) => fpr === from);
      const about = fed === midOf(log[0]) && epochs.get(epoch) === record;
      return isCanonical(notice) && notice.signatures.length === 1 && about && allFit(notice, author);
    });
    return { counts: [...firstOfEach(counts)].sort() };
  },
  complaint({ log, message }) {
    demandSound(message, log[0]);
    const { from } = bodyOf(message);
    return { author: from, mid: midOf(message) };
  },
  join({ log, message }) {
    const { identity } = bodyOf(message);
    demandSound(message, log[0], [identity]);
    const fpr = fingerprint(identity);
    return { mid: midOf(message), fpr, role: identity.role, code: codeOf(fpr) };
  },
  recipient({ log, message }) {
    demandSound(message, log[0]);
    return { mid: midOf(message), fpr: fingerprint(bodyOf(message).identity) };
  },
  sealing({ log, manifest, message }) {
    demandSound(message, log[0]);
    const { from, manifest: about } = bodyOf(message);
    if (about !== midOf(manifest)) throw new Error("about another manifest");
    const sizes = bodyOf(manifest).predicate.shards.map(({ bytes }) => sealedSize(bytes));
    return { mid: midOf(message), holder: from, sizes };
  },
  "sealed-file"({ manifest, data_key, file_b64, sealed }) {
    const { predicate } = bodyOf(manifest);
    const [shard] = predicate.shards;
    const [id, file] = [midOf(manifest), Buffer.from(file_b64, "base64")];
    const [key, context] = [fileKey(hex(data_key), id, shard), fileContext(predicate.fed, id, shard)];
    if (sha256(file) !== sealed.sha256) throw new Error("not the file that is named");
    return {
      file_key: key.toString("hex"),
      context: context.toString("utf8"),
      size: sealedSize(shard.bytes),
      plain_sha256: sha256(plainOf(file, key, context)),
    };
  },
  "recovery-code"({ typed }) {
    const seed = readRecoveryCode(typed);
    return { seed: seed.toString("hex"), code: writeRecoveryCode(seed), paper: paperOf(seed) };
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
  "stream-tag"({ log, text }) {
    const [, digest, seq, id] = /^([0-9a-f]{64})(?:\.(0|[1-9][0-9]*)\.([0-9a-f]{64}))?$/.exec(text);
    const head = seq === undefined ? null : { seq: Number(seq), id };
    const known = log.some((record) => midOf(record) === id && (bodyOf(record).seq ?? 0) === head.seq);
    if (head && !known) throw new Error("E_HEAD");
    return { digest, head };
  },
  name(text) {
    const part = "(?![. ])[A-Za-z0-9 ._+=,@()~'&-]+(?<! )";
    if (text.length > 255 || !new RegExp(`^${part}(/${part})*$`).test(text)) throw new Error("E_FORMAT");
    return { parts: text.split("/") };
  },
  tag({ tag }) {
    return { digest: tagDigest(tag) };
  },
};
FACTS.reveal = FACTS.commit;
FACTS.abort = FACTS.commit;
const PART = { notice: ["counts"], complaint: ["author", "mid"], sealing: ["mid", "holder", "sizes"] };

function fits({ kind, given, expected }) {
  const names = PART[kind] ?? Object.keys(expected);
  try {
    return isDeepStrictEqual(FACTS[kind](given), Object.fromEntries(names.map((name) => [name, expected[name]])));
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
