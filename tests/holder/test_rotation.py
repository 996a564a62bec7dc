"""What a new epoch costs: everything in the box that is bound to an older one, and nothing that merely says so."""

from __future__ import annotations

import pytest

from blindsight.holder import rotation
from blindsight.holder.absorption import absorbs
from blindsight.protocol import bundle, manifest
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.scheme import SCHEMES, Descriptor
from tests.holder import lives
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import World


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority")


@pytest.fixture
def life(founded, tmp_path):
    return lives.Life(lives.copied(founded, tmp_path / "life"))


@pytest.fixture
def world(life):
    return World([life.keys[name] for name in life.names], life.log(), life.secret("anna"))


def offers(life, world, name, dataset="pets-train", **changes):
    envelope = world.manifest(life.keys[name], **changes)
    place = f"{life.box.data(life.fed, life.fpr(name))}/{dataset}/{manifest.FILE_NAME}"
    life.box.put(place, envelope)
    return envelope


def cost(life):
    return rotation.cost_of(life.box, life.log())


def test_nothing_offered_costs_nothing(life):
    assert cost(life) == rotation.Cost((), ())
    assert cost(life).sentences() == ["to be encrypted again: 0 data sets, 0 rows, 0 bytes"]


def test_every_data_set_of_every_member_is_listed_with_its_size(life, world):
    offers(life, world, "anna")
    offers(life, world, "bert")
    offers(life, world, "bert", "pets-val")
    found = cost(life).datasets
    assert sorted((one.holder, one.name, one.epoch, one.rows, one.bytes) for one in found) == sorted(
        (life.label(name), "pets/train", 1, 8, 4096) for name in ("anna", "bert", "bert")
    )
    first, *rest = cost(life).sentences()
    assert first == "to be encrypted again: 3 data sets, 24 rows, 12288 bytes"
    assert sum(life.label("bert") in line for line in rest) == 2


def test_what_does_not_verify_is_passed_over(life, world):
    good = offers(life, world, "anna")
    folder = life.box.data(life.fed, life.fpr("bert"))
    stranger = worlds.identity("mallory")
    life.box.put(f"{folder}/a/{manifest.FILE_NAME}", worlds.spoilt(good))
    life.box.put(f"{folder}/b/{manifest.FILE_NAME}", world.manifest(stranger))
    life.box.put(f"{folder}/c/{manifest.FILE_NAME}", worlds.resigned(good, [stranger]))
    life.box.put(f"{folder}/d/other.json", good)
    (life.box.transport.root / folder / "e").mkdir()
    (life.box.transport.root / folder / "e" / manifest.FILE_NAME).write_bytes(b"\xff")
    assert [one.holder for one in cost(life).datasets] == [life.label("anna")]


def test_data_of_a_removed_member_are_nobodys_cost(life, world):
    offers(life, world, "anna")
    offers(life, world, "cleo")
    life.removed("cleo")
    assert [one.holder for one in cost(life).datasets] == [life.label("anna")]


def models(life):
    return life.box.transport.root / life.box.models(life.fed)


def test_a_model_under_a_scheme_with_a_lossless_stem_can_be_re_keyed(life, world):
    bundles.write(models(life) / "pets", world)
    (model,) = cost(life).models
    assert (model.name, model.epoch, model.scheme, model.rekeyable) == ("pets", 1, "le", True)
    assert cost(life).sentences()[-1] == (
        "model pets, epoch 1, scheme le: can be re-keyed without training: blindsight holder rekey BUNDLE --to-epoch N"
    )


@pytest.mark.parametrize("scheme", sorted({name for name, _ in SCHEMES}))
def test_the_schemes_say_which_models_have_to_be_trained_again(scheme):
    for network, absorbed in (
        ("small", ("plain", "le", "block-shuffle")),
        ("vit", ("plain", "le", "block-shuffle", "vit-block")),
    ):
        arch = {"id": network, "params": {}}
        model = rotation.Trained("pets", 1, scheme, absorbs(Descriptor.of(scheme, (8, 8, 3)).traits, arch))
        (_, sentence) = rotation.Cost((), (model,)).sentences()
        assert ("holder rekey" in sentence) == (scheme in absorbed)
        assert ("has to be trained again" in sentence) == (scheme not in absorbed)


def test_a_model_whose_first_layer_sees_too_little_has_to_be_trained_again(life, world):
    params = bundles.PARAMETERS | {"unit": "byte"}
    content = bundles.files(**{bundle.CONFIG: bundle.config_file("linear", params)})
    bundles.write(models(life) / "pets", world, content, arch={"id": "linear", "params": params})
    assert [model.rekeyable for model in cost(life).models] == [False]


def test_a_re_keyed_model_is_listed_with_its_present_epoch(life, world):
    first = bundle.read_statement(bundles.write(models(life) / "pets", world))
    anna = life.keys["anna"]
    derived = {"by": anna.entry.fpr, "how": "rekeyed", "origin": first.mid, "epochs": [1]}
    stated = bundles.predicate(world) | {"serial": 2, "derived": derived}
    bundle.make(models(life) / "again", anna, stated, bundles.files(**{bundle.ORIGIN: first.to_bytes()}))
    assert [(model.name, model.epoch) for model in cost(life).models] == [("pets", 1), ("pets", 1)]
    spoilt = worlds.spoilt(bundle.read_statement(models(life) / "again"))
    (models(life) / "again" / bundle.STATEMENT).write_bytes(spoilt.to_bytes())
    assert len(cost(life).models) == 1


def test_a_model_whose_statement_does_not_verify_is_passed_over(life, world):
    folder = bundles.write(models(life) / "good", world)
    statement = Envelope.from_bytes((folder / bundle.STATEMENT).read_bytes())
    odd = Descriptor("unheard-of", 1, (8, 8, 3), {"block": 4})
    predicate = statement.body()["predicate"]
    unknown = predicate | {"scheme": odd.to_json(), "scheme_digest": odd.digest}
    stranger = worlds.identity("rival", "trainer")
    for name, document in {
        "spoilt": worlds.spoilt(statement),
        "stranger": worlds.resigned(statement, [stranger], predicate=predicate | {"trainer": stranger.entry.fpr}),
        "unheard-of": worlds.resigned(statement, [bundles.TRAINER], predicate=unknown),
        "notice": worlds.notice_of(life.log(), life.keys["anna"]),
    }.items():
        life.box.put(f"{life.box.models(life.fed)}/{name}/{bundle.STATEMENT}", document)
    assert [(one.name, one.scheme) for one in cost(life).models] == [("pets", "le")]


def test_programs_read_the_same_numbers(life, world):
    offers(life, world, "anna")
    document = cost(life).to_json()
    assert document["datasets"] == [
        {"name": "pets/train", "holder": life.label("anna"), "epoch": 1, "rows": 8, "bytes": 4096}
    ]
    assert document["models"] == []
