"""The command: data on stdout, talk on stderr, and a status that says how it ended."""

import json
import re
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from blindsight import cli
from blindsight.cli import key, output
from blindsight.cli.arguments import Verbs
from blindsight.protocol import keystore
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import ConflictError, FormatError, LockedKeyError
from tests.protocol import worlds


@pytest.fixture
def role(monkeypatch):
    """Install a role whose one verb does what the test says."""

    def install(act):
        module = types.ModuleType("a_role")
        module.main = act
        monkeypatch.setitem(sys.modules, "a_role", module)
        monkeypatch.setattr(cli, "ROLES", {**cli.ROLES, "holder": ("a_role", "a role")})

    return install


def raising(error):
    def act(words):
        raise error

    return act


# Help.


def test_help_goes_to_stdout_names_every_role_and_ends_with_an_example(capsys):
    assert cli.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert all(re.search(rf"^  {role} ", out, re.MULTILINE) for role in cli.ROLES)
    assert out.rstrip().splitlines()[-2:] == ["example:", "  blindsight simulate --out runs/first"]
    assert err == ""


def test_no_words_are_wrong_usage(capsys):
    assert cli.main([]) == 2
    assert "usage:" in "".join(capsys.readouterr())


def test_an_unknown_role_is_wrong_usage_with_a_hint(capsys):
    assert cli.main(["cook"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith("blindsight: error: there is no 'cook'")
    assert err.splitlines()[1] == "blindsight: hint: blindsight --help"


def test_the_version_is_the_installed_one(capsys):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"blindsight \d+\.\d+\.\d+\n", capsys.readouterr().out)


def run(*words, program="import sys; from blindsight.cli import main; sys.exit(main())", **options):
    command = [sys.executable, "-P", "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["cook"]], ids=" ".join)
def test_talking_about_the_command_imports_no_heavy_library(words):
    program = (
        "import sys; from blindsight.cli import main; main(); "
        "print(','.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = run(*words, program=program).stdout.splitlines()[-1].split(",")
    assert not {"numpy", "torch", "flwr", "onnxruntime", "cryptography", "PIL", "rich"} & set(loaded)


def test_the_command_runs_as_a_module_too():
    result = subprocess.run(
        [sys.executable, "-P", "-m", "blindsight.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("blindsight ")


# How it ends.


def test_the_status_of_a_verb_is_the_status_of_the_command(role):
    role(lambda words: 75)
    assert cli.main(["holder", "epoch", "step"]) == 75


def test_the_verb_gets_the_words_after_its_role(role):
    seen = []
    role(lambda words: seen.append(words) or 0)
    cli.main(["holder", "key", "show", "--json"])
    assert seen == [["key", "show", "--json"]]


def test_a_refusal_is_a_sentence_with_its_code_then_a_hint_and_status_1(role, capsys):
    role(raising(FormatError("the box is empty", hint="fill it")))
    assert cli.main(["holder"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "blindsight: error: the box is empty [E_FORMAT]\nblindsight: hint: fill it\n")


def test_a_refusal_without_a_hint_is_one_line(role, capsys):
    role(raising(FormatError("no")))
    cli.main(["holder"])
    assert capsys.readouterr().err == "blindsight: error: no [E_FORMAT]\n"


def test_with_json_a_refusal_is_one_object_on_stdout_too(role, capsys):
    role(raising(FormatError("no", hint="yes")))
    assert cli.main(["holder", "x", "--json"]) == 1
    expected = {"code": "E_FORMAT", "message": "no", "hint": "yes", "evidence": []}
    assert json.loads(capsys.readouterr().out) == {"error": expected}


def test_evidence_that_no_keystore_keeps_is_kept_with_what_the_command_remembers(role, capsys, state_home):
    documents = [worlds.genesis(worlds.holders(2), name=name) for name in ("a", "b")]
    role(raising(ConflictError("two faces", evidence=tuple(document.to_bytes() for document in documents))))
    assert cli.main(["holder", "x", "--json"]) == 1
    said = capsys.readouterr()
    kept = json.loads(said.out)["error"]["evidence"]
    assert {Path(path).read_bytes() for path in kept} == {document.to_bytes() for document in documents}
    assert {Path(path).parent for path in kept} == {state_home / "blindsight" / "evidence"}
    assert said.err.count("evidence kept in ") == 2


def test_a_missing_passphrase_is_status_3(role):
    role(raising(LockedKeyError("no")))
    assert cli.main(["holder"]) == 3


@pytest.mark.parametrize(("package", "extra"), cli.EXTRAS.items())
def test_a_missing_extra_is_one_sentence_with_the_command_that_installs_it_and_status_3(role, capsys, package, extra):
    role(raising(ModuleNotFoundError("no", name=f"{package}.nn")))
    assert cli.main(["holder"]) == 3
    err = capsys.readouterr().err
    assert f"this needs {package}, which is not installed [E_EXTRA]" in err
    assert f'pip install "blindsight[{extra}]"' in err


def test_a_missing_module_of_our_own_is_a_bug_and_stays_a_traceback(role):
    role(raising(ModuleNotFoundError("no", name="blindsight.holder.gone")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["holder"])


def test_a_bug_stays_a_traceback(role):
    role(raising(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["holder"])


def test_an_interrupted_command_is_status_130(role, capsys):
    role(raising(KeyboardInterrupt()))
    assert cli.main(["holder"]) == 130
    assert capsys.readouterr().err.startswith("blindsight: interrupted")


def test_a_reader_that_goes_away_gives_no_traceback():
    program = (
        "import sys, types; from blindsight import cli\n"
        "role = types.ModuleType('r'); role.main = lambda words: [print('x' * 999) for _ in range(9999)] and 0\n"
        "sys.modules['r'] = role; cli.ROLES = {'holder': ('r', '')}; sys.exit(cli.main(['holder']))"
    )
    command = [sys.executable, "-P", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


# Key verbs.


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of one site, with the cheap cost for keystores made here."""
    monkeypatch.setattr(keystore.Argon2Cost.__init__, "__defaults__", (8_192, 1, 1))
    for name in ("BLINDSIGHT_KEYSTORE", "BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "passphrase").write_text("open sesame\n")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path


def key_verb(site, *words):
    verbs = Verbs("holder", "a holder", "blindsight holder key show")
    key.add_verbs(verbs, "holder")
    options = ["--keystore", str(site / "anna" / "keystore.json"), "--passphrase-file", str(site / "passphrase")]
    return verbs.main(["key", *words, *options])


def test_key_init_makes_a_sealed_keystore_and_prints_codes_only(site, capsys):
    assert key_verb(site, "init", "--name", "anna", "--json") == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert (facts["role"], facts["name"]) == ("holder", "anna")
    assert re.fullmatch(r"([0-9A-Z]{4}-){9}[0-9A-Z]{4}", facts["fingerprint"])
    path = site / "anna" / "keystore.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with keystore.opened(path, b"open sesame") as store:
        assert store.key.entry.code == facts["fingerprint"]
        assert store.data["identity"]["seed"] not in out + err
    assert "open sesame" not in out + err


def test_key_init_offers_the_identity_card(site):
    key_verb(site, "init", "--name", "anna", "--dropbox", str(site / "box"))
    assert [entry.name for entry in DropBox(site / "box").cards()] == ["anna"]


def test_key_init_never_overwrites(site):
    key_verb(site, "init", "--name", "anna")
    before = (site / "anna" / "keystore.json").read_bytes()
    with pytest.raises(keystore.KeyExistsError):
        key_verb(site, "init", "--name", "anna")
    assert (site / "anna" / "keystore.json").read_bytes() == before


def test_key_show_says_what_key_init_said(site, capsys):
    key_verb(site, "init", "--name", "anna")
    first = capsys.readouterr().out
    assert key_verb(site, "show") == 0
    assert capsys.readouterr().out == first


def test_key_show_offers_the_same_card_again(site):
    key_verb(site, "init", "--name", "anna", "--dropbox", str(site / "box"))
    (path,) = (site / "box" / "identities").iterdir()
    before = path.read_bytes()
    key_verb(site, "show", "--dropbox", str(site / "box"))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "words", [[], ["key"], ["key", "init"], ["key", "shred"], ["key", "show", "--passphrase", "x"]], ids=str
)
def test_wrong_usage_of_a_verb_is_status_2(words):
    verbs = Verbs("holder", "a holder", "blindsight holder key show")
    key.add_verbs(verbs, "holder")
    with pytest.raises(SystemExit) as caught:
        verbs.main(words)
    assert caught.value.code == 2


@pytest.mark.parametrize("words", [["--help"], ["key", "init", "--help"], ["key", "show", "--help"]], ids=" ".join)
def test_every_help_ends_with_an_example(words, capsys):
    verbs = Verbs("holder", "a holder", "blindsight holder key show")
    key.add_verbs(verbs, "holder")
    with pytest.raises(SystemExit) as caught:
        verbs.main(words)
    assert caught.value.code == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert lines[-2] == "example:"
    assert lines[-1].startswith("  blindsight holder ")


# Output.


def test_facts_are_a_table_or_one_json_object(capsys):
    facts = {"a": 1, "longer": ["x", "y"], "none": [], "map": {"k": 2}}
    output.emit_facts(facts, as_json=False)
    assert capsys.readouterr().out == "a       1\nlonger  x, y\nnone    none\nmap     k=2\n"
    output.emit_facts(facts, as_json=True)
    assert json.loads(capsys.readouterr().out) == facts


def test_progress_without_a_terminal_is_a_line_every_few_seconds_on_stderr(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    with output.progress("publishing", 30) as advance:
        for _ in range(3):
            advance(10)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "blindsight: publishing: 20 of 30\n")
