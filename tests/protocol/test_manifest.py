"""Manifests: what a holder offers is said in one form, which the published JSON schema describes too."""

import json
from pathlib import Path

import jsonschema
import pytest

from blindsight.protocol import manifest
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError, ProtocolError, SignatureError
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.shard import tensors_of
from blindsight.protocol.tag import Tag
from tests.protocol import worlds

WORLD = worlds.world()
ANNA, BERT, CLEO = WORLD.keys
SOUND = WORLD.manifest(ANNA)
PREDICATE = WORLD.predicate(ANNA)
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[1] / "vectors" / "manifest.schema.json").read_text())
)
DESCRIBED = {"license": "CC0-1.0", "description": "cats and dogs"}
TREE = {"alg": "rfc6962-sha256", "leaf": 1_048_576, "root": "00" * 32}
BARE_TASK = {name: value for name, value in PREDICATE["task"].items() if name != "labels"}
VARIANTS = {
    "as published": {},
    "with licence and description": {"dataset": PREDICATE["dataset"] | DESCRIBED},
    "without the names of its classes": {"task": BARE_TASK},
    "without a task": {"task": {"kind": "none"}},
    "with a tree": {"shards": [PREDICATE["shards"][0] | {"tree": TREE}]},
    "superseding another": {"serial": 2, "supersedes": "cd" * 32},
    "naming its software": {"software": {"blindsight": "0.1.0"}},
}


def without(document, name):
    return {key: value for key, value in document.items() if key != name}


MUTATIONS = {
    **{f"no {name}": {name: None} for name in PREDICATE if name != "supersedes"},
    "another version": {"v": 2},
    "an unknown field": {"camera": "door"},
    "a split nobody knows": {"dataset": PREDICATE["dataset"] | {"split": "holdout"}},
    "a long name": {"dataset": PREDICATE["dataset"] | {"name": "x" * 121}},
    "class counts": {"task": PREDICATE["task"] | {"counts": [1, 2, 3]}},
    "one class": {"task": BARE_TASK | {"classes": 1}},
    "an unknown task": {"task": {"kind": "segmentation"}},
    "epoch 0": {"epoch": 0},
    "an upper-case digest": {"kcv": PREDICATE["kcv"].upper()[:-1] + "A"},
    "a negative head": {"head": PREDICATE["head"] | {"seq": -1}},
    "a scheme in capitals": {"scheme": PREDICATE["scheme"] | {"id": "LE"}},
    "a scheme of version 0": {"scheme": PREDICATE["scheme"] | {"v": 0}},
    "a shape of two sides": {"scheme": PREDICATE["scheme"] | {"shape": [8, 8]}},
    "tensors without images": {"tensors": without(PREDICATE["tensors"], "image")},
    "a tensor of strings": {"tensors": PREDICATE["tensors"] | {"name": {"dtype": "STR", "shape": ["N"]}}},
    "a tensor of M rows": {"tensors": PREDICATE["tensors"] | {"label": {"dtype": "I64", "shape": ["M"]}}},
    "no shards": {"shards": []},
    "an absolute path": {"shards": [PREDICATE["shards"][0] | {"path": "/etc/passwd"}]},
    "a path upwards": {"shards": [PREDICATE["shards"][0] | {"path": "shards/../../x"}]},
    "a path with a dot": {"shards": [PREDICATE["shards"][0] | {"path": "./x"}]},
    "a doubled slash": {"shards": [PREDICATE["shards"][0] | {"path": "a//b"}]},
    "a path in Greek": {"shards": [PREDICATE["shards"][0] | {"path": "δ"}]},
    "a path of 256 characters": {"shards": [PREDICATE["shards"][0] | {"path": "x" * 256}]},
    "a folder as path": {"shards": [PREDICATE["shards"][0] | {"path": "shards/"}]},
    "a shard without rows": {"shards": [PREDICATE["shards"][0] | {"rows": 0}]},
    "a shard of 15 bytes": {"shards": [PREDICATE["shards"][0] | {"bytes": 15}]},
    "a tree of another kind": {"shards": [PREDICATE["shards"][0] | {"tree": TREE | {"leaf": 1}}]},
    "serial 0": {"serial": 0},
    "another time": {"created": "yesterday"},
    "software as a list": {"software": ["blindsight"]},
}


def statement_of(**changes):
    """A statement whose subjects are those of its shards, whatever else is wrong."""
    predicate = {
        name: value for name, value in (PREDICATE | changes).items() if value is not None or name == "supersedes"
    }
    shards = predicate.get("shards") or PREDICATE["shards"]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": manifest.PREDICATE_TYPE,
        "subject": [{"name": shard["path"], "digest": {"sha256": shard["sha256"]}} for shard in shards],
        "predicate": predicate,
    }


def signed(statement, key=ANNA):
    return Envelope.of("application/vnd.in-toto+json", statement).signed(key)


def refused(envelope):
    with pytest.raises(ProtocolError) as caught:
        manifest.read(envelope, WORLD.log)
    return caught.value


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_sound_manifest_is_valid_for_the_reader_and_for_the_schema(changes):
    SCHEMA.validate(statement_of(**changes))
    read = manifest.read(signed(statement_of(**changes)), WORLD.log)
    assert read.holder == ANNA.entry.label


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_the_writer_makes_is_valid_for_the_schema(changes):
    SCHEMA.validate(WORLD.manifest(ANNA, **changes).body())


@pytest.mark.parametrize("changes", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_mutated_manifest_is_refused_by_the_schema_and_by_the_reader(changes):
    assert list(SCHEMA.iter_errors(statement_of(**changes)))
    assert refused(signed(statement_of(**changes))).code == "E_FORMAT"


@pytest.mark.parametrize("changes", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_mutated_manifest_cannot_be_made(changes):
    predicate = statement_of(**changes)["predicate"]
    with pytest.raises((FormatError, KeyError)):
        manifest.make(ANNA, predicate)


@pytest.mark.parametrize("name", ["_type", "predicateType", "subject", "predicate"])
def test_a_statement_without_one_of_its_fields_is_refused_by_both(name):
    statement = without(statement_of(), name)
    assert list(SCHEMA.iter_errors(statement))
    assert refused(signed(statement)).code == "E_FORMAT"


def test_all_faults_of_a_manifest_are_named_at_once():
    message = refused(signed(statement_of(serial=0, created="now", kcv="x", camera=1))).message
    assert all(name in message for name in ("serial", "created", "kcv", "camera"))


# What the schema cannot say.


def test_the_subjects_are_the_shards():
    statement = statement_of()
    statement["subject"] = [{"name": "shards/other", "digest": {"sha256": "ab" * 32}}]
    assert "subjects are not its shards" in refused(signed(statement)).message


def test_a_shard_may_not_stand_twice():
    shards = PREDICATE["shards"] * 2
    assert refused(signed(statement_of(shards=shards, rows=16))).code == "E_FORMAT"


def test_the_rows_must_add_up():
    assert "do not add up" in refused(signed(statement_of(rows=9))).message


def test_the_scheme_digest_must_be_that_of_the_descriptor():
    assert refused(signed(statement_of(scheme_digest="00" * 32))).code == "E_SCHEME"


@pytest.mark.parametrize("change", [{"labels": ["cat", "owl", "dog"]}, {"labels": ["cat"]}, {"classes": 4}])
def test_the_labels_must_be_those_of_the_digest(change):
    assert refused(signed(statement_of(task=PREDICATE["task"] | change))).code == "E_TASK"


def test_the_images_must_have_the_shape_of_the_scheme():
    tensors = PREDICATE["tensors"] | {"image": {"dtype": "U8", "shape": ["N", 16, 16, 3]}}
    assert refused(signed(statement_of(tensors=tensors))).code in ("E_SCHEME", "E_FORMAT")


def test_a_manifest_of_a_stranger_is_refused():
    stranger = worlds.identity("mallory")
    assert refused(signed(statement_of(holder=stranger.entry.fpr), stranger)).code == "E_ROSTER"


def test_a_manifest_of_a_trainer_is_refused():
    lab = worlds.identity("lab", "trainer")
    assert refused(signed(statement_of(holder=lab.entry.fpr), lab)).code == "E_ROSTER"


def test_a_manifest_in_the_name_of_another_is_refused_naming_whose_signature_is_missing():
    with pytest.raises(MembershipError, match=ANNA.entry.name) as caught:
        manifest.read(signed(statement_of(), BERT), WORLD.log)
    assert caught.value.code == "E_QUORUM"


def test_a_manifest_with_a_second_signature_is_refused():
    assert refused(SOUND.signed(BERT)).code == "E_QUORUM"


def test_a_manifest_changed_after_signing_is_refused_naming_the_holder():
    changed = Envelope(SOUND.type, canonical(statement_of(serial=2)), SOUND.signatures)
    with pytest.raises(SignatureError, match=ANNA.entry.name) as caught:
        manifest.read(changed, WORLD.log)
    assert caught.value.code == "E_SIG"


def test_a_manifest_for_another_federation_is_refused():
    error = refused(signed(statement_of(fed="00" * 32)))
    assert (error.code, ANNA.entry.name in error.message) == ("E_FED", True)


def test_another_payload_type_is_no_manifest():
    assert refused(Envelope("text/json", SOUND.payload, {}).signed(ANNA)).code == "E_FORMAT"


def test_the_tag_names_key_and_scheme():
    tag = manifest.read(SOUND, WORLD.log).tag
    assert tag == Tag(*(PREDICATE[name] for name in ("fed", "epoch", "record", "kcv", "scheme_digest", "scv")))


def test_classes_and_split_are_read(tmp_path):
    read = manifest.load(WORLD.publish(tmp_path / "a", ANNA), WORLD.log)
    assert (read.classes, read.split, read.descriptor) == (worlds.CLASSES, "train", worlds.LE)


# Files.


@pytest.fixture
def published(tmp_path):
    return WORLD.publish(tmp_path / "anna", ANNA)


def faults(path):
    read = manifest.load(path, WORLD.log)
    return [error.code for error in manifest.shard_faults(read, path.parent)]


def test_a_manifest_is_found_in_its_folder(published):
    assert manifest.load(published.parent, WORLD.log) == manifest.load(published, WORLD.log)


def test_sound_shards_have_no_faults(published):
    assert faults(published) == []


def test_a_missing_manifest_is_refused(tmp_path):
    with pytest.raises(BlindsightError) as caught:
        manifest.load(tmp_path, WORLD.log)
    assert caught.value.code == "E_IO"


def shard_file(published):
    return published.parent / "shards" / "00000.safetensors"


def link(path):
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


SHARD_DAMAGES = {
    "missing": (lambda path: path.unlink(), "E_IO"),
    "a link": (link, "E_IO"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "E_SHARD"),
    "extended": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "E_SHARD"),
    "a changed byte": (flip, "E_SHA"),
}


@pytest.mark.parametrize(("damage", "code"), SHARD_DAMAGES.values(), ids=SHARD_DAMAGES.keys())
def test_a_damaged_shard_is_named(published, damage, code):
    damage(shard_file(published))
    assert faults(published) == [code]


def test_a_shard_of_another_data_set_than_stated_is_named(tmp_path):
    path = WORLD.publish(tmp_path / "anna", ANNA, dataset=PREDICATE["dataset"] | {"id": "00" * 16})
    assert faults(path) == ["E_SCHEME"]


MIX = Descriptor.of("patch-mix", (8, 8, 3))
UNKNOWN = Descriptor("rot13", 1, (8, 8, 3), {})


def under(descriptor, shape):
    """A manifest under a scheme, whose images have this shape."""
    scheme = {"scheme": descriptor.to_json(), "scheme_digest": descriptor.digest}
    return signed(statement_of(**scheme, tensors=dict(tensors_of(shape, labelled=True))))


def test_the_image_tensor_has_the_shape_of_encrypted_images():
    read = manifest.read(under(MIX, (4, 4, 3)), WORLD.log)
    assert read.descriptor.encrypted_shape == (4, 4, 3)
    assert refused(under(MIX, MIX.shape)).code == "E_FORMAT"
    assert refused(under(worlds.LE, (4, 4, 3))).code == "E_FORMAT"


def test_of_a_scheme_that_is_not_known_here_any_images_can_be_read_about(tmp_path):
    """That it is not known is a fault at admission, under the holder's name."""
    assert manifest.read(under(UNKNOWN, (5, 6, 1)), WORLD.log).descriptor == UNKNOWN


@pytest.mark.parametrize(
    "image",
    [
        {"dtype": "F32", "shape": ["N", 8, 8, 3]},
        {"dtype": "U8", "shape": ["N", 8, 8]},
        {"dtype": "U8", "shape": ["T", 8, 8, 3]},
    ],
    ids=["floats", "three dimensions", "no rows"],
)
def test_under_an_unknown_scheme_too_images_are_bytes_in_four_dimensions(image):
    scheme = {"scheme": UNKNOWN.to_json(), "scheme_digest": UNKNOWN.digest}
    assert refused(signed(statement_of(**scheme, tensors={"image": image}))).code == "E_FORMAT"


def test_shards_must_hold_images_of_the_encrypted_shape(tmp_path):
    scheme = {
        "scheme": MIX.to_json(),
        "scheme_digest": MIX.digest,
        "tensors": dict(tensors_of((4, 4, 3), labelled=True)),
    }
    path = WORLD.publish(tmp_path / "anna", ANNA, **scheme)
    (fault,) = manifest.shard_faults(manifest.load(path, WORLD.log), path.parent)
    assert (fault.code, "another data set, epoch or scheme" in fault.message) == ("E_SCHEME", True)
