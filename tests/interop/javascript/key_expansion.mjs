// A second implementation of key expansion, ceremony arithmetic and block schemes, against the published vectors.
//
//   node tests/interop/javascript/key_expansion.mjs [folder of vectors] [FORMAT.md]
//
// One line {name, ok} a vector on stdout, what was expected and got on stderr; exit 1 if any differs. Written from
// protocol/FORMAT.md sections A to D and F and the standards it names. Node 18 or newer, standard library only.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { H, canon, expand, extract, hex, isCanonical, mid, peopleCode, u64be, utf8 } from "./encoding.mjs";
import { Stream, schemeDigest, schemeKey } from "./keystream.mjs";
import { blockCipher, checkValue, leBlock } from "./schemes.mjs";
import { ed25519Public, xwingPublic } from "./xwing.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const [FOLDER = join(ROOT, "tests", "vectors"), FORMAT = join(ROOT, "protocol", "FORMAT.md")] = process.argv.slice(2);

const read = (name) => JSON.parse(readFileSync(join(FOLDER, name), "utf8"));
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const list = (values) => Array.from(values).join(" ");

function u32le(values) {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [place, value] of values.entries()) bytes.writeUInt32LE(value, 4 * place);
  return bytes;
}

/** Writes a positive normal number as Python's float.hex does: "0x1.8000000000000p-6". */
function hexFloat(value) {
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(value);
  const [fraction, exponent] = [bits.toString("hex").slice(3), (bits.readUInt16BE() >> 4) - 1023];
  return `0x1.${fraction}p${exponent < 0 ? "" : "+"}${exponent}`;
}

function* keyExpansion(vectors) {
  const [secret, digest] = [hex(vectors.epoch_secret), schemeDigest(JSON.parse(vectors.descriptor))];
  const key = schemeKey(secret, vectors.fed, vectors.epoch, digest);
  const stream = (label, ...context) => new Stream(key, label, ...context);
  const large = stream("perm/pixel").perm(3072);
  const below = stream("below");
  const start = stream("logistic/0").logisticStart();
  const got = {
    descriptor: canon(JSON.parse(vectors.descriptor)).toString(),
    scheme_digest: digest.toString("hex"),
    kcv: expand(secret, "kcv", hex(vectors.fed), u64be(vectors.epoch)).toString("hex"),
    scheme_key: key.toString("hex"),
    "stream(perm/pixel)[0:32]": stream("perm/pixel").bytes(32).toString("hex"),
    perm16: stream("perm/pixel").perm(16),
    perm96_sha256_u32le: sha256(u32le(stream("perm/pixel").perm(96))),
    perm3072_sha256_u32le: sha256(u32le(large)),
    perm3072_first8: large.slice(0, 8),
    "bits(sign/pixel,24)": stream("sign/pixel").bits(24).join(""),
    "choose(flip,48,8)": stream("flip").choose(48, 8),
    "below(1e9)x4": [1, 2, 3, 4].map(() => below.below(1e9)),
    "per-image stream(perm/patch, image id 'img-1')[0:16]": stream("perm/patch", "img-1").bytes(16).toString("hex"),
    logistic_x0_hex: hexFloat(start.x),
    logistic_r_hex: hexFloat(start.r),
    logistic_first16: stream("logistic/0").logistic(16).toString("hex"),
    logistic_3072_sha256: sha256(stream("logistic/0").logistic(3072)),
  };
  const inputs = new Set(["epoch_secret", "fed", "epoch"]);
  for (const name of Object.keys(vectors)) if (!inputs.has(name)) yield [name, String(vectors[name]), String(got[name])];
}

function* identities(vectors, genesis) {
  for (const [place, { seed, pub, fpr, code }] of vectors.identities.entries()) {
    const key = ed25519Public(hex(seed));
    const entry = genesis.members.find((member) => member.pub === key.toString("base64url"));
    const fingerprint = H("identity", utf8(entry?.role ?? ""), utf8(entry?.alg ?? ""), key);
    yield [`identities[${place}].pub`, pub, key.toString("hex")];
    yield [`identities[${place}].fpr`, fpr, fingerprint.toString("hex")];
    yield [`identities[${place}] in genesis`, entry?.fpr, fingerprint.toString("hex")];
    yield [`identities[${place}].code`, code, peopleCode(fingerprint)];
  }
}

/** A member's commit: what it contributes, and the id of the message that says so. */
function commitOf(member, sid) {
  const kem = xwingPublic(hex(member.kem_seed));
  const com = H("commit", sid, hex(member.fpr), kem, hex(member.s)).toString("hex");
  const body = { com, from: member.fpr, kem: kem.toString("base64url"), sid: sid.toString("hex"), type: "commit", v: 1 };
  return { kem, com, id: mid("commit", canon(body)) };
}

function* ceremony(vectors) {
  const [genesis, proposal] = [JSON.parse(vectors.genesis_payload), JSON.parse(vectors.propose_payload)];
  const fed = mid("genesis", utf8(vectors.genesis_payload));
  const sid = mid("propose", utf8(vectors.propose_payload));
  yield* identities(vectors, genesis);
  yield ["genesis_payload", true, isCanonical(vectors.genesis_payload)];
  yield ["propose_payload", true, isCanonical(vectors.propose_payload)];
  yield ["fed", vectors.fed, fed.toString("hex")];
  yield ["fed in propose_payload", proposal.fed, fed.toString("hex")];
  yield ["fed_code", vectors.fed_code, peopleCode(fed)];
  yield ["sid", vectors.sid, sid.toString("hex")];
  const commits = vectors.members.map((member) => commitOf(member, sid));
  for (const [place, member] of vectors.members.entries()) {
    yield [`members[${place}].kem_pub_sha256`, member.kem_pub_sha256, sha256(commits[place].kem)];
    yield [`members[${place}].com`, member.com, commits[place].com];
    yield [`members[${place}].commit_mid`, member.commit_mid, commits[place].id.toString("hex")];
  }
  const roster = vectors.members.map((member, place) => ({ ...member, id: commits[place].id }));
  roster.sort((a, b) => (a.fpr < b.fpr ? -1 : 1));
  const order = genesis.members.map((member) => member.fpr).join();
  yield ["roster order", order, roster.map((member) => member.fpr).join()];
  const cr = H("commits", sid, ...roster.map((member) => member.id));
  const salt = H("epoch-salt", sid, cr);
  const secret = extract(salt, Buffer.concat(roster.map((member) => hex(member.s))));
  yield ["cr", vectors.cr, cr.toString("hex")];
  yield ["epoch_salt", vectors.epoch_salt, salt.toString("hex")];
  yield ["epoch_secret", vectors.epoch_secret, secret.toString("hex")];
  yield ["kcv", vectors.kcv, expand(secret, "kcv", fed, u64be(proposal.epoch)).toString("hex")];
}

function* tanaka(vectors) {
  const half = vectors.plain.length;
  const reversed = vectors.permutation.map((place) => Number(place > half));
  const mask = vectors.permutation.map((place, i) => reversed[i] ^ reversed[place]);
  yield ["le.json", list(vectors.cipher), list(leBlock(Buffer.from(vectors.plain), vectors.permutation, mask))];
}

/** The table of F.3, which has no file of its own. */
function* schemeTable(format, key) {
  const image = Buffer.from(Array.from({ length: 48 }, (_, k) => (3 + 7 * k) % 256));
  const row = /^\| `(le|block-shuffle)` \| ([\d ]+) \| `([0-9a-f]{96})` \| `([0-9a-f]{64})` \|$/gm;
  for (const [, id, first, cipher, scv] of format.matchAll(row)) {
    const { permutation, encrypt } = blockCipher(id, key, image.length);
    const descriptor = { dtype: "u8", id, params: { block: 4 }, shape: [4, 4, 3], v: 1 };
    yield [`F.3 ${id} permutation`, first, list(permutation.slice(0, 8))];
    yield [`F.3 ${id} block`, cipher, encrypt(image).toString("hex")];
    yield [`F.3 ${id} check value`, scv, checkValue(descriptor, key).toString("hex")];
  }
}

function* everything() {
  const expansion = read("key_expansion.json");
  yield ["key_expansion.json", keyExpansion(expansion)];
  yield ["ceremony.json", ceremony(read("ceremony.json"))];
  yield ["le.json", tanaka(read("le.json"))];
  yield ["FORMAT.md", schemeTable(readFileSync(FORMAT, "utf8"), hex(expansion.scheme_key))];
}

function reported(file, [name, expected, got]) {
  const ok = expected === got;
  console.log(JSON.stringify({ name: `${file}: ${name}`, ok }));
  if (!ok) console.error(`${file}: ${name}: expected ${expected}, got ${got}`);
  return ok;
}

let sound = true;
for (const [file, results] of everything()) for (const result of results) sound = reported(file, result) && sound;
process.exitCode = sound ? 0 : 1;
