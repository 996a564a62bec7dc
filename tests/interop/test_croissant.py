"""Others read our descriptions: the reference reader of Croissant, without a network."""

import json
import warnings

import pytest

from blindsight.protocol import manifest
from blindsight.protocol.exports import croissant
from tests.protocol import worlds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its dependencies use at import is theirs
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")

# rdflib, below mlcroissant, warns of its own class.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

WORLD = worlds.world()
ANNA = WORLD.keys[0]
DATASET = WORLD.predicate(ANNA)["dataset"]
LICENSED = {"dataset": DATASET | {"license": "CC0-1.0", "description": "cats and dogs"}}
IMAGE = {"image": WORLD.predicate(ANNA)["tensors"]["image"]}
VARIANTS = {
    "with a licence by name": LICENSED,
    "with a licence by address": {"dataset": DATASET | {"license": "https://example.org/terms"}},
    "without labels": LICENSED | {"task": {"kind": "none"}, "tensors": IMAGE},
    "with a name full of signs": {"dataset": LICENSED["dataset"] | {"name": '猫 </script>"{}\\ http://x/'}},
    "with a shard called like a record set": LICENSED
    | {"shards": [{"path": "tensors", "rows": 8, "bytes": 4096, "sha256": "ab" * 32}]},
}


def exported(**changes):
    found = manifest.read(WORLD.manifest(ANNA, **changes), WORLD.log)
    return json.loads(json.dumps(croissant.document(found)))


def loaded(document, **options):
    return mlcroissant.Dataset(jsonld=document, **options)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the reader went to the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_reference_reader_has_neither_errors_nor_warnings(changes, caplog):
    issues = loaded(exported(**changes)).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


def test_without_a_licence_it_warns_of_that_and_of_nothing_else():
    issues = loaded(exported()).metadata.ctx.issues
    (warning,) = issues.warnings
    assert issues.errors == set()
    assert "schema.org/license" in warning


def test_it_reads_what_we_stated():
    metadata = loaded(exported(**LICENSED)).metadata
    assert metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.0"
    assert metadata.name == "pets (train)"
    assert metadata.description.startswith("cats and dogs. Split train: 8 rows")
    assert (metadata.version, metadata.date_published.year) == ("1", 2026)
    (file,) = metadata.file_objects
    assert (file.content_url, file.sha256) == ("shards/00000.safetensors", "ab" * 32)


def test_it_reads_what_we_say_of_responsible_use():
    metadata = loaded(exported(**LICENSED)).metadata
    assert metadata.data_use_cases == ["Training"]
    assert "can compute the scenes" in metadata.data_limitations[0]
    assert "perceptually encrypted under scheme le v1" in metadata.data_preprocessing_protocol[0]
    assert "Labels are plain" in metadata.personal_sensitive_information[0]


def test_every_record_set_that_we_declare_can_be_read():
    dataset = loaded(exported(**LICENSED))
    records = {found.uuid: list(dataset.records(found.uuid)) for found in dataset.metadata.record_sets}
    assert [row["classes/name"] for row in records["classes"]] == list(worlds.CLASSES)
    assert {row["tensors/name"]: row["tensors/shape"] for row in records["tensors"]} == {
        "image": "N, 8, 8, 3",
        "label": "N",
    }


def test_what_it_writes_again_is_read_without_errors_too():
    again = loaded(exported(**LICENSED)).metadata.to_json()
    issues = loaded(json.loads(json.dumps(again, default=str))).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


def test_a_field_with_a_source_it_cannot_read_would_fail_which_is_why_there_is_none(tmp_path):
    # Should Croissant learn to read safetensors, this fails and the export can say more.
    path = WORLD.publish(tmp_path, ANNA, dataset=LICENSED["dataset"])
    document = croissant.document(manifest.load(path, WORLD.log))
    field = {"@type": "cr:Field", "@id": "images/image", "name": "image", "dataType": "cr:UInt8"}
    field["source"] = {"fileObject": {"@id": "shard-00000"}, "extract": {"column": "image"}}
    document["recordSet"] = [{"@type": "cr:RecordSet", "@id": "images", "name": "images", "field": [field]}]
    (tmp_path / "croissant.json").write_text(json.dumps(document))
    with pytest.raises(Exception, match=r"operation Read\(shard-00000\)"):
        list(loaded(tmp_path / "croissant.json").records("images"))
