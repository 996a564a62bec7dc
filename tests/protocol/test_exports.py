"""Descriptions for catalogues say what the manifest states, plainly, and nothing else."""

import json
import re

import jsonschema
import pytest

from blindsight.protocol import manifest
from blindsight.protocol.encoding import people_code
from blindsight.protocol.errors import FormatError, SchemeError
from blindsight.protocol.exports import croissant, datapackage
from blindsight.protocol.manifest import task_of
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.protocol.shard import tensors_of
from tests.protocol import worlds

WORLD = worlds.world()
ANNA = WORLD.keys[0]
PREDICATE = WORLD.predicate(ANNA)
DATASET = PREDICATE["dataset"]
PLAIN = Descriptor("plain", 1, (8, 8, 3), {"block": 4})
IMAGES_ONLY = {"task": {"kind": "none"}, "tensors": {"image": PREDICATE["tensors"]["image"]}}
BARE_TASK = {name: value for name, value in PREDICATE["task"].items() if name != "labels"}
TWO_SHARDS = [
    {"path": "shards/00000.safetensors", "rows": 6, "bytes": 4096, "sha256": "ab" * 32},
    {"path": "shards/00001.safetensors", "rows": 2, "bytes": 1024, "sha256": "cd" * 32},
]
KINDS = {"croissant": croissant, "datapackage": datapackage}
FORBIDDEN = re.compile(r"\b(secure|private|anonym\w+|irreversible|de-identified)\b|cannot be", re.IGNORECASE)

# The rules of Data Package 2.0 and, for names, of 1.0, as far as they concern what is written here.
TEXT = {"type": "string", "minLength": 1}
NAME = {"type": "string", "pattern": "^[a-z0-9._-]+$"}
PATH = {"type": "string", "pattern": r"^(?=[^./~])(?!.*(^|/)\.\.(/|$))(?!.*:).+$|^https?://.+$"}
LICENSE = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[-a-zA-Z0-9._]+$"}, "path": PATH, "title": TEXT},
    "anyOf": [{"required": ["name"]}, {"required": ["path"]}],
    "additionalProperties": False,
}
RESOURCE = {
    "type": "object",
    "properties": {
        "name": NAME,
        "path": PATH,
        "description": TEXT,
        "format": TEXT,
        "mediatype": {"type": "string", "pattern": "^(.+)/(.+)$"},
        "bytes": {"type": "integer"},
        "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    },
    "required": ["name", "path"],
    "additionalProperties": False,
}
PACKAGE = jsonschema.Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "$schema": {"const": "https://datapackage.org/profiles/2.0/datapackage.json"},
            **dict.fromkeys(("id", "title", "description", "version"), TEXT),
            "name": NAME,
            "created": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$"},
            "contributors": {"type": "array", "minItems": 1, "items": {"type": "object", "minProperties": 1}},
            "licenses": {"type": "array", "minItems": 1, "items": LICENSE},
            "resources": {"type": "array", "minItems": 1, "items": RESOURCE},
            "blindsight": {"type": "object"},
        },
        "required": ["resources"],
        "additionalProperties": False,
    }
)


def verified(descriptor=worlds.LE, **changes):
    return manifest.read(WORLD.manifest(ANNA, descriptor, **changes), WORLD.log)


def described(**words):
    return verified(dataset=DATASET | words)


def under(name):
    descriptor = Descriptor.of(name, (8, 8, 3))
    return verified(descriptor, tensors=dict(tensors_of(descriptor.encrypted_shape, labelled=True)))


VARIANTS = {
    "as published": verified(),
    "two shards": verified(shards=TWO_SHARDS),
    "without labels": verified(**IMAGES_ONLY),
    "without the names of its classes": verified(task=BARE_TASK),
    "not encrypted": verified(PLAIN),
    "with a licence by name": described(license="CC0-1.0"),
    "with a licence by address": described(license="https://example.org/terms"),
    "with a licence in words": described(license="for members of the study only"),
    "with a name in another script": described(name="猫と犬"),
    "with a name full of signs": described(name='</script>"{}\\'),
    "for inference": described(split="inference"),
    **{f"under {name}": under(name) for name, _ in SCHEMES if name not in ("le", "plain")},
}
every_variant = pytest.mark.parametrize("found", VARIANTS.values(), ids=VARIANTS)
both_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def told(document):
    """Every text in a document, keys included."""
    if isinstance(document, dict):
        return [text for item in document.items() for part in item for text in told(part)]
    if isinstance(document, list):
        return [text for part in document for text in told(part)]
    return [str(document)]


# Both kinds.


@both_kinds
@every_variant
def test_a_description_is_plain_json_and_the_same_each_time(kind, found):
    document = kind.document(found)
    assert json.loads(json.dumps(document)) == document
    assert kind.document(found) == document


@both_kinds
def test_the_images_are_described_with_scheme_epoch_and_key_check_value(kind):
    words = kind.document(verified())["description"]
    for part in ("perceptually encrypted", "scheme le v1", "block 4", "epoch 1", PREDICATE["kcv"]):
        assert part in words


@both_kinds
def test_it_is_said_from_whom_the_images_are_hidden_and_that_labels_are_plain(kind):
    words = kind.document(verified())["description"]
    assert "hidden from people who look, not from people who compute" in words
    assert "Labels are plain: 3 classes." in words


@both_kinds
def test_images_of_the_control_are_never_called_encrypted(kind):
    words = " ".join(told(kind.document(verified(PLAIN))))
    assert "The images are not encrypted" in words
    assert "perceptually encrypted" not in words
    assert "hidden from people" not in words


@both_kinds
def test_mixed_images_are_neither_called_encrypted_nor_plain(kind):
    words = " ".join(told(kind.document(under("patch-mix"))))
    assert "changed without a key by scheme patch-mix v1" in words
    assert "There is no key: what can be seen in the mixture, everybody sees" in words
    for other in ("perceptually encrypted", "not encrypted", "hidden from people"):
        assert other not in words


@both_kinds
def test_the_shape_is_that_of_the_encrypted_images(kind):
    assert "8 rows of 4x4x3 bytes" in kind.document(under("patch-mix"))["description"]


@both_kinds
def test_images_without_labels_are_described_without_any(kind):
    words = kind.document(verified(**IMAGES_ONLY))["description"]
    assert "There are no labels." in words
    assert "Labels are plain" not in words


@both_kinds
@every_variant
def test_no_description_promises_what_such_schemes_do_not_give(kind, found):
    assert [text for text in told(kind.document(found)) if FORBIDDEN.search(text)] == []


@both_kinds
def test_a_description_says_that_it_is_not_signed_and_which_manifest_is(kind):
    found = verified()
    words = kind.document(found)["description"]
    assert f"signed manifest manifest.dsse.json (message id {found.envelope.mid})" in words
    assert "is not signed itself" in words


@both_kinds
def test_the_holders_own_words_come_first(kind):
    words = kind.document(described(description="2 views an image; labels are plain"))["description"]
    assert words.startswith("2 views an image; labels are plain. Split train: 8 rows")


@both_kinds
def test_the_holder_is_named_by_the_code_of_its_fingerprint_and_by_no_name(kind):
    texts = told(kind.document(verified()))
    assert f"holder {people_code(bytes.fromhex(ANNA.entry.fpr))}" in texts
    assert [text for text in texts if ANNA.entry.name in text or WORLD.log.name in text] == []


@both_kinds
def test_a_licence_that_is_not_stated_is_not_made_up(kind):
    assert not {"license", "licenses"} & set(kind.document(verified()))


@both_kinds
def test_a_scheme_that_is_not_known_here_cannot_be_described(kind):
    found = verified(Descriptor("le", 9, (8, 8, 3), {"block": 4}))
    with pytest.raises(SchemeError, match="le v9 is not known here"):
        kind.document(found)


@both_kinds
def test_every_shard_stands_in_it_with_size_and_digest(kind):
    text = json.dumps(kind.document(verified(shards=TWO_SHARDS)))
    for shard in TWO_SHARDS:
        assert all(str(shard[part]) in text for part in ("path", "bytes", "sha256"))


# Croissant.


def test_the_shards_are_file_objects_with_their_sha256():
    first, second = croissant.document(verified(shards=TWO_SHARDS))["distribution"]
    assert first["@type"] == second["@type"] == "cr:FileObject"
    assert (second["contentUrl"], second["contentSize"]) == ("shards/00001.safetensors", "1024 B")
    assert (first["sha256"], second["sha256"]) == ("ab" * 32, "cd" * 32)


def test_no_field_claims_a_source_because_croissant_cannot_read_safetensors():
    texts = told({**croissant.document(verified()), "@context": {}})
    assert not {"source", "extract", "fileSet"} & set(texts)


def test_the_tensors_are_listed_with_type_and_shape():
    (tensors, _) = croissant.document(verified())["recordSet"]
    rows = {row["tensors/name"]: (row["tensors/type"], row["tensors/shape"]) for row in tensors["data"]}
    assert rows == {"image": ("U8", "N, 8, 8, 3"), "label": ("I64", "N")}


def test_the_classes_are_listed_in_label_order():
    (_, classes) = croissant.document(verified(task=task_of(("dog", "cat", "owl"))))["recordSet"]
    assert [(row["classes/label"], row["classes/name"]) for row in classes["data"]] == [
        (0, "dog"),
        (1, "cat"),
        (2, "owl"),
    ]


@pytest.mark.parametrize("changes", [IMAGES_ONLY, {"task": BARE_TASK}], ids=["no labels", "no names"])
def test_without_class_names_there_is_no_list_of_classes(changes):
    names = [record_set["@id"] for record_set in croissant.document(verified(**changes))["recordSet"]]
    assert names == ["tensors"]


def test_ids_are_unique_even_if_a_shard_is_called_like_a_record_set():
    document = croissant.document(verified(shards=[TWO_SHARDS[0] | {"path": "tensors", "rows": 8}]))
    record_sets = document["recordSet"]
    ids = [node["@id"] for node in (*document["distribution"], *record_sets)]
    ids += [field["@id"] for record_set in record_sets for field in record_set["field"]]
    assert len(set(ids)) == len(ids)


def test_the_context_stands_in_the_document_itself():
    context = croissant.document(verified())["@context"]
    assert isinstance(context, dict)
    assert context["recordSet"] == "cr:recordSet"


def test_the_split_says_what_the_data_set_is_for():
    assert croissant.document(verified())["rai:dataUseCases"] == ["Training"]
    assert croissant.document(described(split="inference"))["rai:dataUseCases"] == ["Others: inference"]


def test_the_limitations_say_that_scenes_can_be_computed_unless_nothing_is_encrypted():
    assert "can compute the scenes" in croissant.document(verified())["rai:dataLimitations"][0]
    (only,) = croissant.document(verified(PLAIN))["rai:dataLimitations"]
    assert "not that they are true" in only


def test_how_images_were_gathered_is_not_made_up():
    told_of = {name for name in croissant.document(verified()) if name.startswith("rai:")}
    assert told_of == {
        "rai:dataPreprocessingProtocol",
        "rai:dataLimitations",
        "rai:personalSensitiveInformation",
        "rai:dataUseCases",
    }


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        ("https://example.org/terms", "https://example.org/terms"),
        ("CC0-1.0", {"@type": "sc:CreativeWork", "name": "CC0-1.0"}),
    ],
)
def test_a_licence_is_an_address_or_a_named_work(stated, written):
    assert croissant.document(described(license=stated))["license"] == written


# Data Package.


@every_variant
def test_a_data_package_keeps_to_the_rules_of_both_versions(found):
    PACKAGE.validate(datapackage.document(found))


def test_resources_have_names_of_their_own():
    resources = datapackage.document(verified(shards=TWO_SHARDS))["resources"]
    assert [resource["name"] for resource in resources] == ["shard-00000", "shard-00001"]


def test_a_resource_has_the_size_and_the_digest_of_the_manifest():
    (resource,) = datapackage.document(verified())["resources"]
    assert (resource["bytes"], resource["hash"]) == (4096, f"sha256:{'ab' * 32}")


def test_what_data_package_has_no_words_for_stands_unchanged_under_one_name():
    found = verified()
    facts = dict(datapackage.document(found)["blindsight"])
    assert facts.pop("manifest") == found.envelope.mid
    assert facts == {name: PREDICATE[name] for name in facts}
    assert {"kcv", "scv", "scheme", "epoch", "fed", "tensors"} <= set(facts)


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        ("https://example.org/terms", {"path": "https://example.org/terms"}),
        ("CC0-1.0", {"name": "CC0-1.0"}),
        ("members only", {"path": "manifest.dsse.json", "title": "members only"}),
    ],
)
def test_a_licence_has_a_name_or_a_path(stated, written):
    assert datapackage.document(described(license=stated))["licenses"] == [written]


def test_a_path_that_data_package_forbids_is_refused():
    found = verified(shards=[TWO_SHARDS[0] | {"path": ".hidden/0.safetensors", "rows": 8}])
    with pytest.raises(FormatError, match="begins with a dot"):
        datapackage.document(found)


@pytest.mark.parametrize("name", ["le", "ele", "patch-shuffle", "patch-mix"])
def test_croissant_says_how_the_scheme_falls(name):
    assert SCHEMES[name, 1].falls in croissant.document(under(name))["rai:dataLimitations"]


def test_equal_images_are_said_to_be_equal_where_keys_are_not_an_image_s():
    said = {
        name: "Equal images are equal" in str(croissant.document(under(name))) for name in ("le", "ele", "restricted")
    }
    assert said == {"le": True, "ele": True, "restricted": False}
