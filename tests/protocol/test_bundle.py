"""A bundle is loaded when every byte is what a trainer of the federation signed for this epoch, and refused else."""

from dataclasses import replace
from datetime import timedelta

import pytest

from blindsight.protocol import bundle, statement
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import (
    BlindsightError,
    ConflictError,
    FormatError,
    MembershipError,
    PolicyError,
    SchemeError,
    SignatureError,
)
from blindsight.protocol.scheme import Descriptor
from tests.operator import bundles
from tests.protocol.worlds import CLASSES, LE, NOW, identity, world

WORLD = world()
NAMES = (*bundle.REQUIRED, bundle.STATEMENT)


@pytest.fixture
def folder(tmp_path):
    return bundles.write(tmp_path / "models" / "pets", WORLD)


def load(path, log=WORLD.log, moment=NOW):
    return bundle.load(path, log, moment)


def rewritten(path, key=bundles.TRAINER, **changes):
    """Put another statement into the folder, signed, whatever it says."""
    envelope = bundle.read_statement(path)
    body = envelope.body()
    body["predicate"] |= changes
    forged = Envelope(envelope.type, canonical(body), {}).signed(key)
    (path / bundle.STATEMENT).write_bytes(forged.to_bytes())
    return path


def refused(error, code, path, **where):
    with pytest.raises(error) as caught:
        load(path, **where)
    assert caught.value.code == code
    return caught.value.message


def test_what_is_made_is_loaded_with_its_very_bytes(folder):
    loaded = load(folder)
    assert dict(loaded.files) == bundles.files()
    assert (loaded.classes, loaded.shape, loaded.descriptor) == (CLASSES, LE.shape, LE)
    assert loaded.trainer == bundles.TRAINER.entry.label


def test_the_tag_is_that_of_the_manifests_it_was_trained_on(folder):
    from blindsight.protocol.tag import Tag

    assert load(folder).tag == Tag.of(WORLD.predicate(WORLD.keys[1]))


def test_equal_content_gives_equal_bytes(folder, tmp_path):
    again = bundles.write(tmp_path / "again", WORLD)
    assert [(folder / name).read_bytes() for name in NAMES] == [(again / name).read_bytes() for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_byte_in_any_file_is_refused(folder, name, place):
    data = bytearray((folder / name).read_bytes())
    data[int(len(data) * place)] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BlindsightError):
        load(folder)


@pytest.mark.parametrize("name", bundle.REQUIRED)
def test_a_file_of_another_content_is_named(folder, name):
    (folder / name).write_bytes(b"{}")
    assert name in refused(SignatureError, "E_SHA", folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in refused(FormatError, "E_IO", folder)


@pytest.mark.parametrize("name", ["weights.pt", ".hidden", "run.py"])
def test_a_file_that_nobody_signed_is_named_and_refused(folder, name):
    (folder / name).write_bytes(b"")
    assert name in refused(FormatError, "E_FORMAT", folder)


def test_a_link_in_place_of_a_file_is_refused(folder, tmp_path):
    (folder / bundle.MODEL).rename(tmp_path / "elsewhere")
    (folder / bundle.MODEL).symlink_to(tmp_path / "elsewhere")
    refused(FormatError, "E_IO", folder)


def test_more_files_than_the_required_ones_may_be_signed(tmp_path):
    content = bundles.files(**{"MODEL_CARD.md": b"# pets\n"})
    assert load(bundles.write(tmp_path / "b", WORLD, content)).files["MODEL_CARD.md"] == b"# pets\n"


def test_a_trainer_who_is_not_on_the_roster_is_refused(folder):
    stranger = identity("thief", "trainer")
    refused(MembershipError, "E_ROSTER", rewritten(folder, stranger, trainer=stranger.entry.fpr))


def test_a_holder_cannot_sign_in_the_place_of_a_trainer(folder):
    holder = WORLD.keys[0]
    refused(MembershipError, "E_ROSTER", rewritten(folder, holder, trainer=holder.entry.fpr))


def test_the_signature_must_be_that_of_the_trainer_named(folder):
    refused(MembershipError, "E_QUORUM", rewritten(folder, identity("thief", "trainer")))


def test_a_second_signature_is_refused(folder):
    signed = bundle.read_statement(folder).signed(WORLD.keys[0])
    (folder / bundle.STATEMENT).write_bytes(signed.to_bytes())
    refused(MembershipError, "E_QUORUM", folder)


def test_a_signature_over_another_statement_is_refused(folder):
    envelope = bundle.read_statement(folder)
    other = Envelope(envelope.type, envelope.payload.replace(b'"rounds":3', b'"rounds":4'), envelope.signatures)
    (folder / bundle.STATEMENT).write_bytes(other.to_bytes())
    refused(SignatureError, "E_SIG", folder)


def test_another_federation_is_refused(folder):
    refused(MembershipError, "E_FED", rewritten(folder, fed="00" * 32))


def test_an_epoch_that_is_not_agreed_is_refused(folder):
    refused(MembershipError, "E_EPOCH", rewritten(folder, epoch=2))


def test_another_record_of_the_epoch_is_refused(folder):
    refused(MembershipError, "E_EPOCH", rewritten(folder, record="00" * 32))


def test_another_key_check_value_is_refused(folder):
    refused(SignatureError, "E_KCV", rewritten(folder, kcv="00" * 32))


def test_a_log_head_that_nobody_knows_is_refused(folder):
    refused(ConflictError, "E_HEAD", rewritten(folder, head={"seq": 1, "id": "00" * 32}))


def test_a_bundle_of_an_earlier_head_is_accepted_after_the_log_has_grown(folder):
    assert load(folder, WORLD.next_epoch().log).classes == CLASSES


def test_an_ended_epoch_is_refused(folder):
    refused(PolicyError, "E_EXPIRED", folder, moment=NOW + timedelta(days=366))


def test_a_scheme_digest_that_is_not_the_descriptors_is_refused(folder):
    refused(SchemeError, "E_SCHEME", rewritten(folder, scheme_digest="00" * 32))


def test_a_scheme_that_the_epoch_does_not_allow_is_refused(folder):
    plain = replace(LE, id="plain")
    refused(SchemeError, "E_SCHEME", rewritten(folder, scheme=plain.to_json(), scheme_digest=plain.digest))


def test_a_scheme_that_nobody_knows_is_refused(folder):
    newer = Descriptor("le", 9, LE.shape, LE.params)
    refused(SchemeError, "E_SCHEME", rewritten(folder, scheme=newer.to_json(), scheme_digest=newer.digest))


def test_an_input_of_another_shape_than_the_scheme_is_refused(folder):
    stated = bundles.predicate(WORLD)["input"] | {"shape": [16, 16, 3]}
    refused(SchemeError, "E_SCHEME", rewritten(folder, input=stated))


def test_labels_that_are_not_those_stated_are_refused(tmp_path):
    content = bundles.files(**{bundle.LABELS: bundle.labels_file(["dog", "cat", "owl"])})
    with pytest.raises(SchemeError, match="class names"):
        bundles.write(tmp_path / "b", WORLD, content)


def test_a_labels_digest_that_is_not_the_tasks_is_refused(folder):
    refused(SchemeError, "E_TASK", rewritten(folder, labels_digest="00" * 32))


def test_a_configuration_of_another_network_is_refused(tmp_path):
    content = bundles.files(**{bundle.CONFIG: bundle.config_file("conv", bundles.PARAMETERS)})
    with pytest.raises(SchemeError, match="network"):
        bundles.write(tmp_path / "b", WORLD, content)


@pytest.mark.parametrize("data", [b'{"v":1}', b"[1]\n\n", b"[1.5]\n", b"x" * (bundle.MAX_TEXT_BYTES + 1)])
def test_malformed_labels_are_refused(data):
    with pytest.raises(FormatError):
        bundle.read_labels(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"accuracy": 1}},
        {"serial": 0},
        {"remark": "new"},
        {"input": {"shape": [8, 8, 3], "dtype": "u8", "layout": "NCHW", "mean": ["0"], "std": ["1"]}},
    ],
)
def test_a_malformed_predicate_cannot_be_made(tmp_path, changes):
    with pytest.raises(FormatError):
        bundles.write(tmp_path / "b", WORLD, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_weights_cannot_be_made(tmp_path):
    content = bundles.files()
    del content[bundle.WEIGHTS]
    with pytest.raises(FormatError, match="weights"):
        bundles.write(tmp_path / "b", WORLD, content)


def test_the_key_must_be_the_trainers_named(tmp_path):
    with pytest.raises(ValueError, match="another trainer"):
        bundle.make(tmp_path / "b", WORLD.keys[0], bundles.predicate(WORLD), bundles.files())


def test_a_bundle_is_never_overwritten(folder):
    before = (folder / bundle.STATEMENT).read_bytes()
    with pytest.raises(PolicyError) as caught:
        bundles.write(folder, WORLD, serial=2)
    assert (caught.value.code, (folder / bundle.STATEMENT).read_bytes()) == ("E_EXISTS", before)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "write_whole", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bundles.write(tmp_path / "b", WORLD)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_does_not_hinder_the_next(tmp_path):
    left = tmp_path / ".b.part"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    load(bundles.write(tmp_path / "b", WORLD))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FormatError) as caught:
        bundles.write(tmp_path / "file" / "b", WORLD)
    assert caught.value.code == "E_IO"


MIX = Descriptor.of("patch-mix", (8, 8, 3))


def test_the_input_has_the_shape_of_encrypted_images():
    stated = {"scheme": MIX.to_json(), "scheme_digest": MIX.digest}
    halves = bundles.predicate(WORLD, **stated)
    halves["input"]["shape"] = [4, 4, 3]
    envelope = statement.make(bundle.PREDICATE_TYPE, dict.fromkeys(bundle.REQUIRED, "ab" * 32), halves)
    assert bundle.parse_unsigned(envelope)[1]["input"]["shape"] == list(MIX.encrypted_shape)
    halves["input"]["shape"] = [8, 8, 3]
    envelope = statement.make(bundle.PREDICATE_TYPE, dict.fromkeys(bundle.REQUIRED, "ab" * 32), halves)
    with pytest.raises(SchemeError, match="not of the shape of its scheme's encrypted images"):
        bundle.parse_unsigned(envelope)


def test_figures_of_many_holders_may_be_stated(tmp_path):
    names = [f"holder/{number:064x}/{figure}" for number in range(500) for figure in ("val-accuracy", "val-n")]
    metrics = dict.fromkeys(names, "0.500000")
    assert load(bundles.write(tmp_path / "b", WORLD, metrics=metrics)).predicate["metrics"] == metrics
