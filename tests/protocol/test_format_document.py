"""FORMAT.md and the code say the same: error codes, examples, vectors; and it claims nothing it must not."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol import bundle, delegate, errors, fields, grant, manifest, messages, records, statement
from blindsight.protocol.dropbox import read_card
from blindsight.protocol.envelope import IN_TOTO, Envelope, payload_type
from blindsight.protocol.records import read_epoch, read_genesis
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value
from blindsight.protocol.tag import Tag

ROOT = Path(__file__).parents[2]
FOLDERS = ("protocol", "holder", "trainer", "operator", "deploy")
FORMAT = (ROOT / "protocol" / "FORMAT.md").read_text()
DECISIONS = sorted((ROOT / "protocol" / "decisions").glob("*.md"))
ROWS = re.findall(r"^\| `(E_[A-Z_]+)` \| (.+?) \| ([A-Za-z, ]+?) \| (\d+) \|$", FORMAT, flags=re.MULTILINE)
EXAMPLES = re.findall(r"^```json\n(.*?)^```$", FORMAT, flags=re.MULTILINE | re.DOTALL)
FORBIDDEN = (
    r"\bsecure\b",
    r"\bsecurely\b",
    r"\bprivate\b",
    r"\bprivacy",
    r"\bconfidential",
    r"(cannot|can not|can't) be reversed",
    r"\birreversible",
    r"\banonymi[sz]ed\b",
    r"\bde-identified\b",
    r"\bgdpr\b",
    r"\bhipaa\b",
    r"2\^594",
    r"\bnp-hard\b",
    r"resistant to",
    r"zero[ -]knowledge",
    r"end-to-end encrypted",
    r"differentially",
    r"never sees?\b",
)


def examples_of(kind: str) -> list[Any]:
    return [document for text in EXAMPLES if (document := json.loads(text)).get("type") == kind]


def statement_of(predicate_type: str) -> Any:
    return next(d for text in EXAMPLES if (d := json.loads(text)).get("predicateType") == predicate_type)


def codes_in_code() -> set[str]:
    sources = [path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {code for source in sources for code in re.findall(r"\bE_[A-Z_]+\b", source)}


def test_every_error_code_of_the_code_stands_in_the_table_and_no_other():
    assert {row[0] for row in ROWS} == codes_in_code()


def test_no_error_code_stands_twice_in_the_table():
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_every_code_that_the_text_mentions_stands_in_the_table():
    assert set(re.findall(r"\bE_[A-Z_]+\b", FORMAT)) == {row[0] for row in ROWS}


@pytest.mark.parametrize(("code", "meaning", "classes", "status"), ROWS, ids=[row[0] for row in ROWS])
def test_the_classes_of_a_code_exist_and_end_with_the_stated_status(code, meaning, classes, status):
    named = [getattr(errors, name) for name in classes.split(", ")]
    assert meaning
    assert {found.exit_status for found in named} == {int(status)}


def test_the_default_code_of_every_error_names_that_error():
    stated = {row[0]: row[2].split(", ") for row in ROWS}
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, errors.BlindsightError) and "default_code" in vars(found):
            assert name in stated[found.default_code]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_an_object_of_json(text):
    assert isinstance(json.loads(text), dict)


def test_there_is_an_example_of_every_document():
    kinds = {json.loads(text).get("type") for text in EXAMPLES}
    documents = {kind.split(".")[2] for kind in (*records.SHAPES, *messages.SHAPES, *grant.SHAPES)}
    assert documents | {"delegate", "recipient", "sealing"} <= kinds


@pytest.mark.parametrize("kind", ["roster", "retire", "notice"])
def test_a_record_of_the_examples_reads(kind):
    (shown,) = examples_of(kind)
    assert records.read_record(Envelope.of(kind, shown))["type"] == kind


@pytest.mark.parametrize("kind", ["complaint", "abort"])
def test_a_message_of_the_examples_has_its_shape(kind):
    (shown,) = examples_of(kind)
    fields.demand(messages.SHAPES[payload_type(kind)], shown, kind)


@pytest.mark.parametrize("kind", ["join", "grant", "delegate"])
def test_a_document_of_the_examples_has_its_fields_but_for_what_is_left_out(kind):
    (shown,) = examples_of(kind)
    shape = {**grant.SHAPES, delegate.DELEGATE: delegate.SHAPE}[payload_type(kind)]
    assert all(" kem " in f" {fault} " or "box" in fault for fault in shape(shown, ""))


def test_the_roster_record_of_the_example_follows_the_epoch_record():
    (record,), (roster,), (retire,) = (examples_of(kind) for kind in ("epoch", "roster", "retire"))
    assert roster["prev"] == Envelope.of("epoch", record).mid
    assert retire["prev"] == Envelope.of("roster", roster).mid


def test_the_card_of_the_example_verifies():
    card = next(text for text in EXAMPLES if "vnd.blindsight.identity" in text)
    assert read_card(Envelope.from_bytes(card.encode())).name == "site-A"


def test_the_records_of_the_example_follow_one_another():
    (genesis,), (proposal,), (record,) = (examples_of(kind) for kind in ("genesis", "propose", "epoch"))
    founding, offer = Envelope.of("genesis", genesis), Envelope.of("propose", proposal)
    read_genesis(founding)
    assert read_epoch(Envelope.of("epoch", record))["sid"] == offer.mid
    assert founding.mid == proposal["fed"] == record["prev"]


def test_the_manifest_of_the_example_is_well_formed_and_has_the_tag_shown():
    shown = statement_of(manifest.PREDICATE_TYPE)
    predicate = manifest.parse_unsigned(Envelope.of(IN_TOTO, shown))
    tag = Tag.of(predicate)
    assert tag.digest in FORMAT
    assert {name: getattr(tag, name) for name in Tag.__slots__} in [json.loads(text) for text in EXAMPLES]
    assert shown["_type"] == statement.TYPE


def test_the_bundle_of_the_example_is_well_formed():
    _, predicate = bundle.parse_unsigned(Envelope.of(IN_TOTO, statement_of(bundle.PREDICATE_TYPE)))
    assert Tag.of(predicate).digest in FORMAT


def test_the_digest_of_the_example_descriptor_is_the_one_stated():
    shown = next(d for text in EXAMPLES if set(d := json.loads(text)) == {"id", "v", "shape", "dtype", "params"})
    assert Descriptor.from_json(shown).digest in FORMAT


@pytest.mark.parametrize("scheme", ["le", "block-shuffle"])
def test_a_scheme_gives_the_bytes_and_the_check_value_stated(scheme):
    vectors = json.loads((ROOT / "tests" / "vectors" / "key_expansion.json").read_text())
    key = bytes.fromhex(vectors["scheme_key"])
    descriptor = Descriptor(scheme, 1, (4, 4, 3), {"block": 4})
    cipher = cipher_for(descriptor, key)
    image = ((3 + 7 * np.arange(48)) % 256).astype(np.uint8).reshape(1, 4, 4, 3)
    row = next(line for line in FORMAT.splitlines() if line.startswith(f"| `{scheme}` |"))
    assert f"`{cipher.encrypt(image, ['x']).tobytes().hex()}`" in row
    assert f"`{check_value(descriptor, key, cipher.encrypt)}`" in row


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme[0])
def test_every_scheme_of_the_code_is_described(scheme):
    assert f"**`{scheme[0]}` v{scheme[1]}.**" in FORMAT


@pytest.mark.parametrize("path", [ROOT / "protocol" / "FORMAT.md", *DECISIONS], ids=lambda path: path.name)
@pytest.mark.parametrize("claim", FORBIDDEN)
def test_no_claim_is_made_that_does_not_hold(path, claim):
    assert not re.search(claim, path.read_text(), flags=re.IGNORECASE)


def test_decisions_are_numbered_without_gaps():
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_the_files_that_a_decision_names_exist(path):
    line = next(line for line in path.read_text().splitlines() if line.startswith("Code: "))
    named = [name for name in re.findall(r"`([a-z_/]+\.(?:py|toml))`", line) if "/" in name or name == "pyproject.toml"]
    assert named
    assert all((ROOT / name).exists() for name in named)
