"""Vectors of bytes and text: canonical JSON, base64url, times, keys, codes for people. FORMAT.md sections A and B."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from blindsight.protocol.encoding import to_b64
from blindsight.protocol.identity import ALGORITHM, fingerprint
from tests.protocol import worlds
from tests.vectors.vector import MISSING, Vector, changed, refusals

P = 2**255 - 19
TOP = 2**255
ORDER_EIGHT = (
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)


def canonical() -> list[Vector]:
    """A.2; what is given is a payload."""
    return [
        *refusals("canonical", "E_CANON", _NO_CANONICAL_VALUE),
        *refusals("canonical", "E_CANON", _OTHER_SPELLINGS),
        *refusals("canonical", "E_FORMAT", _NO_JSON),
        *(Vector("canonical", sentence, text, {"value": value}) for sentence, (text, value) in _CANONICAL.items()),
    ]


_NO_CANONICAL_VALUE: dict[str, Any] = {
    "an object names one key twice": '{"a":1,"a":1}',
    "an inner object names one key twice": '{"o":[{"a":1,"a":2}]}',
    "an object names one key twice, once as an escape": '{"a":1,"\\u0061":2}',
    "a number has a fraction": '{"a":1.5}',
    "an integer is written with a fraction": '{"a":1.0}',
    "an integer is written with an exponent": '{"a":1e2}',
    "a number is NaN": '{"a":NaN}',
    "a number is infinite": '{"a":-Infinity}',
    "an integer is 2^53": '{"a":9007199254740992}',
    "an integer is minus 2^53": '{"a":-9007199254740992}',
    "an integer has forty digits": '{"a":' + "9" * 40 + "}",
    "arrays are nested 17 deep": "[" * 17 + "]" * 17,
    "objects are nested 17 deep": '{"a":' * 17 + "1" + "}" * 17,
    "a string holds a lone high surrogate": '{"a":"\\ud800"}',
    "a string holds a lone low surrogate": '{"a":"\\udc00"}',
    "a key is not ASCII": '{"\u00e9":1}',
    "a key is not ASCII, written as an escape": '{"\\u00e9":1}',
}
_OTHER_SPELLINGS: dict[str, Any] = {
    "a blank follows a colon": '{"a": 1}',
    "a newline follows the value": '{"a":1}\n',
    "keys do not stand in order": '{"b":1,"a":2}',
    "keys stand in an order that ignores case": '{"a":1,"B":2}',
    "a letter is written as an escape": '{"a":"\\u0061"}',
    "a letter beyond ASCII is written as an escape": '{"a":"\\u00e9"}',
    "a slash is escaped": '{"a":"\\/"}',
    "a newline is written as a long escape": '{"a":"\\u000a"}',
    "an escape has upper-case hex digits": '{"a":"\\u001F"}',
    "zero has a sign": '{"a":-0}',
}
_NO_JSON: dict[str, Any] = {
    "text is not UTF-8": b'{"a":"\xff"}',
    "a surrogate is encoded as if UTF-8 had it": b'{"a":"\xed\xa0\x80"}',
    "a letter is encoded in more bytes than it needs": b'{"a":"\xc1\xa1"}',
    "text is UTF-16": '{"a":1}'.encode("utf-16-le"),
    "text begins with a byte order mark": '\ufeff{"a":1}',
    "text is empty": "",
    "text ends early": '{"a":1',
    "something follows the value": '{"a":1}{}',
    "a string is quoted with apostrophes": "{'a':1}",
    "an array ends with a comma": "[1,]",
    "an integer begins with zero": '{"a":01}',
    "an integer begins with plus": '{"a":+1}',
    "a string holds a raw newline": '{"a":"\n"}',
    "a comment stands in the text": '{"a":1}/**/',
}
_CANONICAL: dict[str, tuple[str, Any]] = {
    "the greatest and the smallest integer": (
        "[9007199254740991,-9007199254740991]",
        [9007199254740991, -9007199254740991],
    ),
    "arrays nested 16 deep": ("[" * 16 + "]" * 16, json.loads("[" * 16 + "]" * 16)),
    "every kind of value": (
        '{"":{},"A":[],"a":[true,false,null],"b":0,"c":-1,"d":""}',
        {"": {}, "A": [], "a": [True, False, None], "b": 0, "c": -1, "d": ""},
    ),
    "letters beyond ASCII stand as themselves": (
        '{"a":"caf\u00e9 \u75c5\u9662 \U0001f512 \u2028\u007f"}',
        {"a": "caf\u00e9 \u75c5\u9662 \U0001f512 \u2028\u007f"},
    ),
    "control characters have the shortest escapes": (
        '["\\b\\f\\n\\r\\t\\"\\\\","\\u0000\\u001f"]',
        ['\b\f\n\r\t"\\', "\0\x1f"],
    ),
    "a bare string": ('"a"', "a"),
}


def b64() -> list[Vector]:
    """A.1: base64url without padding; ``length`` is what the reader expects."""
    spellings = {
        "text with padding": "AAA=",
        "text with two characters of padding": "AA==",
        "text with a plus": "-_+-",
        "text with a slash": "-_/-",
        "text with set bits that belong to no byte": "AB",
        "text with one character too many": "AAAAA",
        "text with a newline": "AAAA\n",
        "text with a blank inside": "AA AA",
        "text with a letter beyond ASCII": "\u00e9AAA",
        "text with a digit of another script": "AAA\u0661",
    }
    lengths = {"31 bytes for 32": to_b64(bytes(31)), "33 bytes for 32": to_b64(bytes(33)), "nothing for 32 bytes": ""}
    sound = {"both special characters": "-_-_", "no bytes": "", "32 bytes": to_b64(bytes(range(32)))}
    values = {"-_-_": "fbffbf", "": "", to_b64(bytes(range(32))): bytes(range(32)).hex()}
    return [
        *refusals("b64", "E_CANON", {name: {"text": text} for name, text in spellings.items()}),
        *refusals("b64", "E_FORMAT", {name: {"text": text, "length": 32} for name, text in lengths.items()}),
        *(Vector("b64", name, {"text": text}, {"hex": values[text]}) for name, text in sound.items()),
    ]


def time() -> list[Vector]:
    """A.1: times, and the ten minutes by which clocks may differ."""
    wrong = {
        "a day that the calendar lacks": "2026-02-30T00:00:00Z",
        "a leap day in a common year": "2026-02-29T00:00:00Z",
        "hour 24": "2026-11-20T24:00:00Z",
        "second 60": "2026-12-31T23:59:60Z",
        "year 0": "0000-01-01T00:00:00Z",
        "lower-case letters": "2026-11-20t13:00:00z",
        "a blank for the T": "2026-11-20 13:00:00Z",
        "an offset for the Z": "2026-11-20T13:00:00+00:00",
        "no zone": "2026-11-20T13:00:00",
        "a fraction of a second": "2026-11-20T13:00:00.5Z",
        "no seconds": "2026-11-20T13:00Z",
        "a date of the week calendar": "2026-W47-5T13:00:00Z",
        "digits of another script": "\u0662026-11-20T13:00:00Z",
        "a number": 1795179600,
    }
    sound = {
        "a leap day": ("2028-02-29T23:59:59Z", {"2028-03-01T00:09:59Z": False, "2028-03-01T00:10:00Z": True}),
        "ten minutes of tolerance": (
            "2026-11-20T13:00:00Z",
            {"2026-11-20T13:00:01Z": False, "2026-11-20T13:10:00Z": False, "2026-11-20T13:10:01Z": True},
        ),
    }
    return [
        *refusals("time", "E_FORMAT", wrong),
        *(Vector("time", sentence, text, {"past": past}) for sentence, (text, past) in sound.items()),
    ]


def key() -> list[Vector]:
    """B: entries of identities."""
    sound = worlds.identity("site-0").entry.to_json()
    wrong = {
        "a field is missing": {"alg": MISSING},
        "a field is unknown": {"email": "a@b"},
        "another algorithm": {"alg": "ed448"},
        "an unknown role": {"role": "admin"},
        "a name of 81 characters": {"name": "n" * 81},
        "a name with an escape character": {"name": "site\x1b[2K"},
        "a name that turns the direction of writing": {"name": "site\u202eA"},
        "a name with a no-break blank": {"name": "site\u00a0A"},
        "a name with a newline": {"name": "site\nA"},
        "a key of 31 bytes": {"pub": to_b64(bytes(31))},
        "a key with padding": {"pub": sound["pub"] + "="},
        "a fingerprint in upper case": {"fpr": sound["fpr"].upper()},
        "a short fingerprint": {"fpr": sound["fpr"][:-1]},
    }
    alien = {
        "the fingerprint of another key": {"fpr": worlds.identity("site-1").entry.fpr},
        "the fingerprint of the same key in another role": {"role": "trainer"},
        "another name does not excuse another key": {
            "name": "other",
            "pub": worlds.identity("site-1").entry.to_json()["pub"],
        },
    }
    longest = {"name": "\u75c5" * 80}
    accepted = [worlds.identity("site-0", role).entry for role in ("holder", "trainer", "operator")]
    return [
        *refusals("key", "E_FORMAT", {name: changed(sound, change) for name, change in wrong.items()}),
        *refusals("key", "E_FPR", {name: changed(sound, change) for name, change in alien.items()}),
        *refusals("key", "E_KEY", {name: entry_of(pub) for name, pub in _unusable().items()}),
        *(Vector("key", f"one seed as {e.role}", e.to_json(), {"fpr": e.fpr, "code": e.code}) for e in accepted),
        Vector("key", "a name of 80 characters", changed(sound, longest), _facts(accepted[0])),
    ]


def _facts(entry: Any) -> dict[str, str]:
    return {"fpr": entry.fpr, "code": entry.code}


def entry_of(pub: bytes) -> dict[str, str]:
    """An entry of a key that nobody may have; its fingerprint fits."""
    fpr = fingerprint("holder", pub)
    return {"alg": ALGORITHM, "fpr": fpr, "name": "nobody", "pub": to_b64(pub), "role": "holder"}


def _unusable() -> dict[str, bytes]:
    numbers = {
        "the neutral point": 1,
        "the point of order 2": P - 1,
        "the point of order 4 with even x": 0,
        "the point of order 4 with odd x": TOP,
        "the neutral point with a sign": TOP + 1,
        "the point of order 2 with a sign": TOP + P - 1,
        "a y of p": P,
        "a y of p + 1": P + 1,
        "a y of p + 1 with a sign": TOP + P + 1,
        "a y of p + 3": P + 3,
        "a y of 2^255 - 1": TOP - 1,
    }
    for place, text in enumerate(ORDER_EIGHT):
        y = int.from_bytes(bytes.fromhex(text), "little") % TOP
        numbers |= {f"point {2 * place + 1} of order 8": y, f"point {2 * place + 2} of order 8": TOP + y}
    return {sentence: number.to_bytes(32, "little") for sentence, number in numbers.items()}


def people_code() -> list[Vector]:
    """A.6: codes that people read aloud and type."""
    genesis = worlds.genesis(worlds.holders(1))
    code = worlds.founded(worlds.holders(1)).code
    typed = {
        "one character differs": code[:-1] + ("0" if code[-1] != "0" else "2"),
        "the last group is missing": code[:-5],
        "two groups have changed places": code[5:10] + code[:5] + code[10:],
        "nothing is typed": "",
    }
    spoken = code.replace("0", "o").replace("1", "l", 1).replace("1", "I").lower().replace("-", " ")
    digests = {
        "a digest of zeros": bytes(32),
        "a digest of ones": b"\xff" * 32,
        "only the first 25 bytes count": bytes(25) + b"\xff" * 7,
        "a digest": hashlib.sha256(b"").digest(),
    }
    codes = {
        "a digest of zeros": "-".join(["0000"] * 10),
        "a digest of ones": "-".join(["ZZZZ"] * 10),
        "only the first 25 bytes count": "-".join(["0000"] * 10),
        "a digest": "WERC-8GMR-ZGE1-96QV-YK49-JVXS-4GKT-WGF4-CJDS-6K54",
    }
    return [
        *refusals("people-code", "E_FED", {name: {"log": [genesis], "typed": text} for name, text in typed.items()}),
        Vector(
            "people-code", "look-alikes, blanks and small letters", {"log": [genesis], "typed": spoken}, {"code": code}
        ),
        *(Vector("people-code", name, {"digest": d.hex()}, {"code": codes[name]}) for name, d in digests.items()),
    ]
