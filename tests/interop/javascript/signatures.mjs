// DSSE envelopes and Ed25519. protocol/FORMAT.md sections A.4 and B.

import { createPublicKey, verify } from "node:crypto";

import { H, canon, utf8 } from "./encoding.mjs";

export const payloadOf = (envelope) => Buffer.from(envelope.payload, "base64");
export const bodyOf = (envelope) => JSON.parse(payloadOf(envelope).toString("utf8"));
export const signersOf = (envelope) => envelope.signatures.map((signature) => signature.keyid).sort();

/** The message id in hex. */
export function midOf(envelope) {
  return H("mid", utf8(envelope.payloadType), payloadOf(envelope)).toString("hex");
}

/** The fingerprint of a public identity in hex. */
export function fingerprint({ role, alg, pub }) {
  return H("identity", utf8(role), utf8(alg), Buffer.from(pub, "base64url")).toString("hex");
}

/** The digest of a tag in hex, from any object that states its fields (J). */
export function tagDigest({ fed, epoch, record, kcv, scheme_digest, scv }) {
  return H("tag", canon({ fed, epoch, record, kcv, scheme_digest, scv })).toString("hex");
}

function signedBytes(envelope) {
  const [type, payload] = [utf8(envelope.payloadType), payloadOf(envelope)];
  return Buffer.concat([utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload]);
}

/** Whether every signature is one of these entries' and fits. */
export function allFit(envelope, entries) {
  return envelope.signatures.every(({ keyid, sig }) => {
    const entry = entries.find((known) => known.fpr === keyid && fingerprint(known) === keyid);
    if (!entry) return false;
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: entry.pub }, format: "jwk" });
    return verify(null, signedBytes(envelope), key, Buffer.from(sig, "base64"));
  });
}
