"""Vectors of short texts: names in a drop-box, tags of streams, recovery codes. FORMAT.md sections G.2, J and K.1."""

from __future__ import annotations

import hashlib
from typing import Any

from blindsight.protocol import kem
from blindsight.protocol.encoding import people_code, tagged_hash
from blindsight.protocol.keystore import recovery
from blindsight.protocol.tag import Tag
from tests.protocol import worlds
from tests.vectors.federation import AGREED, FIRST, RECORD
from tests.vectors.statements import CHAIN, WORLD
from tests.vectors.vector import Vector, refusals


def name() -> list[Vector]:
    """K.1."""
    wrong = {
        "no characters": "",
        "256 characters": "a" * 256,
        "a leading slash": "/a.json",
        "a trailing slash": "a/",
        "an empty part": "a//b.json",
        "two dots": "../a.json",
        "two dots inside": "a/../b.json",
        "one dot": "./a.json",
        "a part that begins with a dot": "a/.b.json",
        "a part that begins with a blank": "a/ b.json",
        "a part that ends with a blank": "a /b.json",
        "a blank at the end": "a.json ",
        "a backslash": "a\\b.json",
        "a colon": "C:a.json",
        "an asterisk": "a*.json",
        "a question mark": "a?.json",
        "a square bracket": "a[1].json",
        "a percent sign": "a%2fb.json",
        "a newline at the end": "a.json\n",
        "an escape character": "a\x1b[2K.json",
        "a zero byte": "a\0.json",
        "a letter beyond ASCII": "caf\u00e9.json",
        "a digit of another script": "a\u0661.json",
        "a tab": "a\tb.json",
    }
    sound = {
        "a record of a signer": f"{AGREED.code[:9]}/records/1-{RECORD.mid[:12]}-{FIRST.entry.fpr[:12]}.json",
        "255 characters": "a" * 255,
        "all characters that may stand": "AZaz09 ._+=,@()~'&-x",
        "the copy of a file in conflict": "a (Anna's conflicted copy 2026-11-20).json",
        "dots inside and at the end": "a..b/c..",
    }
    return [
        *refusals("name", "E_FORMAT", wrong),
        *(Vector("name", sentence, text, {"parts": text.split("/")}) for sentence, text in sound.items()),
    ]


def stream_tag() -> list[Vector]:
    """J: the text that a stream states."""
    digest = Tag.of(WORLD.predicate(FIRST)).digest
    head = f"{digest}.1.{RECORD.mid}"

    def given(text: str) -> dict[str, Any]:
        return {"log": CHAIN, "text": text}

    wrong = {
        "no characters": "",
        "63 characters": digest[1:],
        "65 characters": digest + "0",
        "a letter that is no hex digit": "g" + digest[1:],
        "a sequence without a record": f"{digest}.1",
        "a fourth part": f"{head}.1",
        "a dot at the end": f"{digest}.",
        "a sequence with a zero before it": f"{digest}.01.{RECORD.mid}",
        "a sequence with a sign": f"{digest}.+1.{RECORD.mid}",
        "a sequence in another script": f"{digest}.\u0661.{RECORD.mid}",
        "a sequence of 17 digits": f"{digest}.{'1' * 17}.{RECORD.mid}",
        "a record one character short": head[:-1],
        "an empty sequence": f"{digest}..{RECORD.mid}",
        "a blank inside": f"{digest}. 1.{RECORD.mid}",
        "the parts in another order": f"{RECORD.mid}.{digest}.1",
    }
    unknown = {
        "another record of the sequence": f"{digest}.1.{digest}",
        "a sequence above that of the log": f"{digest}.2.{RECORD.mid}",
    }
    stated = {"seq": 1, "id": RECORD.mid}
    first = {"seq": 0, "id": AGREED.fed}
    return [
        *refusals("stream-tag", "E_SCHEME", {sentence: given(text) for sentence, text in wrong.items()}),
        *refusals("stream-tag", "E_HEAD", {sentence: given(text) for sentence, text in unknown.items()}),
        Vector("stream-tag", "the digest alone", given(digest), {"digest": digest, "head": None}),
        Vector("stream-tag", "the digest and the head", given(head), {"digest": digest, "head": stated}),
        Vector(
            "stream-tag",
            "the digest and a head of the past",
            given(f"{digest}.0.{AGREED.fed}"),
            {"digest": digest, "head": first},
        ),
    ]


def recovery_code() -> list[Vector]:
    """G.2: what is typed from paper."""
    seed = hashlib.sha256(worlds.PASSPHRASE).digest()
    code = recovery.write_code(seed)
    swapped = code[5:9] + code[4:5] + code[:4] + code[9:]
    wrong = {
        "nothing is typed": "",
        "a character is missing": code[:-1],
        "a character too many": code + "0",
        "a group is missing": code[:-5],
        "one character differs": ("1" if code[0] == "0" else "0") + code[1:],
        "the checksum differs": code[:-1] + ("1" if code[-1] == "0" else "0"),
        "two groups have changed places": swapped,
        "the letter U": "U" + code[1:],
        "a character beyond the alphabet": "!" + code[1:],
        "a digit of another script": "\u0661" + code[1:],
        "dots between the groups": code.replace("-", "."),
    }
    zeros, ones = recovery.write_code(bytes(32)), recovery.write_code(b"\xff" * 32)
    alike = zeros.replace("0", "o").replace("1", "l").lower()
    sound = {
        "a code": (code, seed),
        "a seed of zeros": (zeros, bytes(32)),
        "a seed of ones": (ones, b"\xff" * 32),
        "small letters, blanks and no dashes": (f" {code.lower().replace('-', ' ')}\n", seed),
        "look-alikes": (alike, bytes(32)),
    }
    return [
        *refusals("recovery-code", "E_FORMAT", {name: {"typed": text} for name, text in wrong.items()}),
        *(Vector("recovery-code", name, {"typed": text}, _code_facts(s)) for name, (text, s) in sound.items()),
    ]


def _code_facts(seed: bytes) -> dict[str, str]:
    paper = people_code(tagged_hash("recovery-slot", kem.public_key(seed)))[:9]
    return {"seed": seed.hex(), "code": recovery.write_code(seed), "paper": paper}
