"""Others can write it again: key expansion, ceremony, schemes and documents in JavaScript, from FORMAT.md alone."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "javascript"
VECTORS = ROOT / "tests" / "vectors"
ACCEPTED = sorted((VECTORS / "accepted").glob("*.json"))
ELSEWHERE = {"time", "genesis", "epoch", "admission", "bundle", "tensor-file", "shard"}
ELSEWHERE |= {"log-file", "grant", "delegate", "keystore", "marker"}
FORMAT = ROOT / "protocol" / "FORMAT.md"
FILES = ("key_expansion.json", "ceremony.json", "le.json")
OLDEST = 18
EXPANSION = json.loads((VECTORS / "key_expansion.json").read_text())
CEREMONY = json.loads((VECTORS / "ceremony.json").read_text())
INPUTS = {"epoch_secret", "fed", "epoch"}
DERIVED = sorted(set(EXPANSION) - INPUTS)
OF_CEREMONY = ["fed", "fed_code", "sid", "cr", "epoch_salt", "epoch_secret", "kcv"]
OF_IDENTITIES = [f"identities[{place}].{name}" for place in range(3) for name in ("pub", "fpr", "code")]
OF_MEMBERS = [f"members[{place}].{name}" for place in range(3) for name in ("kem_pub_sha256", "com", "commit_mid")]
SCHEMES = sorted((VECTORS / "schemes").glob("*.json"))
NOT_OURS = {"vortex.json"}  # its sines may differ in the last bit
OF_SCHEMES = [
    f"F.3 {scheme} {what}" for scheme in ("le", "block-shuffle") for what in ("permutation", "block", "check value")
]


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed, so the implementation in JavaScript is not tried")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.skip(f"node {version.strip()} is older than {OLDEST}, so the implementation in JavaScript is not tried")
    return program


def run(node: str, *arguments: Path, program: str = "key_expansion.mjs") -> tuple[int, dict[str, bool]]:
    """The exit status, and name → whether the vector fits."""
    command = [node, PROGRAMS / program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    answers = {line["name"]: line["ok"] for line in lines}
    assert len(answers) == len(lines), "two vectors share a name"
    return result.returncode, answers


def copied(folder: Path, **changed: Any) -> Path:
    """The vectors in another folder; ``changed`` holds whole files by their stem."""
    for name in FILES:
        text = (VECTORS / name).read_text()
        (folder / name).write_text(json.dumps(changed.get(Path(name).stem, json.loads(text))))
    return folder


def other(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, list):
        return value[::-1]
    return ("1" if value[0] == "0" else "0") + value[1:]


def test_every_vector_is_repeated_in_javascript(node):
    status, answers = run(node)
    assert [name for name, sound in answers.items() if not sound] == []
    assert status == 0


def test_no_vector_is_left_out(node):
    _, answers = run(node)
    expected = {f"key_expansion.json: {name}" for name in DERIVED}
    expected |= {f"ceremony.json: {name}" for name in OF_CEREMONY + OF_IDENTITIES + OF_MEMBERS}
    expected |= {"le.json: le.json"} | {f"FORMAT.md: {name}" for name in OF_SCHEMES}
    assert expected - set(answers) == set()


@pytest.mark.parametrize("name", [name for name in DERIVED if name != "descriptor"])
def test_a_changed_vector_of_key_expansion_is_noticed(node, name, tmp_path):
    changed = {**EXPANSION, name: other(EXPANSION[name])}
    status, answers = run(node, copied(tmp_path, key_expansion=changed))
    assert not answers[f"key_expansion.json: {name}"]
    assert status == 1


def test_another_epoch_secret_changes_everything_that_follows_from_it(node, tmp_path):
    changed = {**EXPANSION, "epoch_secret": other(EXPANSION["epoch_secret"])}
    _, answers = run(node, copied(tmp_path, key_expansion=changed))
    fitting = {name for name in DERIVED if answers[f"key_expansion.json: {name}"]}
    assert fitting == {"descriptor", "scheme_digest"}


def test_changed_vectors_of_the_ceremony_are_noticed(node, tmp_path):
    changed = {name: other(CEREMONY[name]) if name in OF_CEREMONY else value for name, value in CEREMONY.items()}
    status, answers = run(node, copied(tmp_path, ceremony=changed))
    assert [name for name in OF_CEREMONY if answers[f"ceremony.json: {name}"]] == []
    assert status == 1


def test_another_contribution_changes_the_secret(node, tmp_path):
    members = [{**CEREMONY["members"][0], "s": "00" * 32}, *CEREMONY["members"][1:]]
    _, answers = run(node, copied(tmp_path, ceremony={**CEREMONY, "members": members}))
    wrong = {name.removeprefix("ceremony.json: ") for name, sound in answers.items() if not sound}
    assert wrong == {"members[0].com", "members[0].commit_mid", "cr", "epoch_salt", "epoch_secret", "kcv"}


def test_a_changed_vector_in_the_text_is_noticed(node, tmp_path):
    text = FORMAT.read_text()
    assert text.count("662cfe43543bb822") == 1
    (tmp_path / "FORMAT.md").write_text(text.replace("662cfe43543bb822", "762cfe43543bb822"))
    status, answers = run(node, VECTORS, tmp_path / "FORMAT.md")
    assert [name for name, sound in answers.items() if not sound] == ["FORMAT.md: F.3 le block"]
    assert status == 1


def expected_of_schemes() -> set[str]:
    """The names of all values in the vectors of schemes that are computed again."""
    given = {"descriptor", "scheme_key", "ids", "encrypted_shape"}
    cases = {path.name: json.loads(path.read_bytes())["cases"] for path in SCHEMES if path.name not in NOT_OURS}
    return {
        f"{name} {place}: {what}"
        for name, found in cases.items()
        for place, case in enumerate(found)
        for what in set(case) - given
    }


def test_every_scheme_but_one_encrypts_alike_in_javascript(node):
    status, answers = run(node, program="encrypted.mjs")
    assert [name for name, sound in answers.items() if not sound] == []
    assert status == 0
    assert set(answers) == expected_of_schemes()
    assert {name.split()[0] for name in answers} == {path.name for path in SCHEMES} - NOT_OURS


@pytest.mark.parametrize("path", [path for path in SCHEMES if path.name not in NOT_OURS], ids=lambda path: path.stem)
def test_another_byte_or_check_value_of_a_scheme_is_noticed(node, path, tmp_path):
    vectors = json.loads(path.read_bytes())
    changed = {"encrypted", "encrypted_sha256", "encrypted_first", "scv"}
    for case in vectors["cases"]:
        case.update({what: other(case[what]) for what in changed & set(case)})
    (tmp_path / path.name).write_text(json.dumps(vectors))
    status, answers = run(node, tmp_path, program="encrypted.mjs")
    assert {name for name, sound in answers.items() if sound} == {
        f"{path.name} {place}: scheme_digest" for place in range(len(vectors["cases"]))
    }
    assert status == 1


def test_another_id_changes_what_is_encrypted_for_it_but_not_the_check_value(node, tmp_path):
    vectors = json.loads((VECTORS / "schemes" / "patch-shuffle.json").read_bytes())
    vectors["cases"] = [{**vectors["cases"][1], "ids": ["other/0", "other/17"]}]
    (tmp_path / "patch-shuffle.json").write_text(json.dumps(vectors))
    _, answers = run(node, tmp_path, program="encrypted.mjs")
    assert answers == {
        f"patch-shuffle.json 0: {what}": what != "encrypted" for what in ("scheme_digest", "encrypted", "scv")
    }


def test_accepted_documents_have_the_same_ids_codes_and_signatures_in_javascript(node):
    status, answers = run(node, program="accepted.mjs")
    assert [name for name, sound in answers.items() if not sound] == []
    assert status == 0
    kinds = {path.name: json.loads(path.read_bytes())["kind"] for path in ACCEPTED}
    assert set(answers) >= {name for name, kind in kinds.items() if kind not in ELSEWHERE}


FACTS = {
    "manifest-a-manifest": ["mid", "holder", "tag"],
    "roster-a-newcomer": ["record", "members", "trainers"],
    "notice-two-members-warn": ["counts"],
    "join-a-member": ["mid", "fpr", "code"],
    "sealing-a-shard-of-16384-bytes": ["mid", "holder"],
    "sealed-file-a-shard-of-exactly-one-chunk": ["file_key", "context", "plain_sha256"],
    "recovery-code-a-code": ["seed", "code", "paper"],
}


@pytest.mark.parametrize(("name", "fact"), [(name, fact) for name, facts in FACTS.items() for fact in facts])
def test_another_fact_about_a_document_is_noticed(node, name, fact, tmp_path):
    vector = json.loads((VECTORS / "accepted" / f"{name}.json").read_bytes())
    value = vector["expected"][fact]
    vector["expected"][fact] = [other(value[0]), *value[1:]] if isinstance(value, list) else other(value)
    (tmp_path / "changed.json").write_text(json.dumps(vector))
    assert run(node, tmp_path, program="accepted.mjs") == (1, {"changed.json": False})


def test_a_signature_that_does_not_fit_is_noticed(node, tmp_path):
    vector = json.loads((VECTORS / "accepted" / "card-a-card.json").read_bytes())
    (signature,) = vector["given"]["signatures"]
    signature["sig"] = signature["sig"][::-1].lstrip("=") + "=="
    (tmp_path / "changed.json").write_text(json.dumps(vector))
    assert run(node, tmp_path, program="accepted.mjs") == (1, {"changed.json": False})


@pytest.mark.parametrize("place", [0, 30, 60, -1])
def test_a_changed_byte_of_a_sealed_file_is_noticed(node, place, tmp_path):
    vector = json.loads((VECTORS / "accepted" / "sealed-file-a-shard-of-40-bytes.json").read_bytes())
    data = bytearray(base64.b64decode(vector["given"]["file_b64"]))
    data[place] ^= 1
    vector["given"]["file_b64"] = base64.b64encode(data).decode()
    vector["given"]["sealed"]["sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "changed.json").write_text(json.dumps(vector))
    assert run(node, tmp_path, program="accepted.mjs") == (1, {"changed.json": False})
