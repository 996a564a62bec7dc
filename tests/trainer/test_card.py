"""The card says in plain words what a bundle is, whom its scheme hides pictures from, and what was measured."""

from __future__ import annotations

import dataclasses
import re

import pytest

from blindsight.protocol import bundle
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.trainer import checkpoint, export
from blindsight.trainer.card import card
from blindsight.trainer.checkpoint import BEST
from blindsight.trainer.config import RunConfig
from blindsight.trainer.job import Job
from blindsight.trainer.metrics import metrics_of
from blindsight.trainer.recipe import Recipe
from tests.protocol.test_format_document import FORBIDDEN as NEVER
from tests.protocol.worlds import CLASSES, CREATED
from tests.test_words import FORBIDDEN
from tests.trainer import sites
from tests.trainer.sites import CONFIG, TRAINER

FILES = (*bundle.REQUIRED, bundle.SELFTEST)
MODEL = {"id": "00" * 16, "name": "pets", "version": "1"}


@pytest.fixture(scope="module")
def manifests(box, folders):
    return sites.verified(box, folders).manifests


@pytest.fixture(scope="module")
def stated(world, finished, manifests):
    """What the bundle of the finished run states."""
    job = Job.load(finished)
    best = checkpoint.load(finished / BEST, job.digest)
    predicate = export._predicate(best, job, CONFIG, manifests, world.log, TRAINER.entry.fpr)
    return predicate | {"model": MODEL, "created": CREATED}


@pytest.fixture
def written(stated, manifests, world):
    """The card's text, of a statement or a configuration with some changes."""

    def write(config=CONFIG, files=FILES, given=None, **changes):
        return card(stated | changes, config, given or manifests, world.log, files).decode()

    return write


def under(scheme, **params):
    return {"scheme": Descriptor.of(scheme, (8, 8, 3), params).to_json()}


def test_it_names_model_trainer_federation_epoch_and_classes(written, world):
    text = written()
    for words in ("# Model card: pets 1", TRAINER.entry.label, world.log.name, world.log.code, "epoch 1", CREATED):
        assert words in text
    for label, name in enumerate(CLASSES):
        assert f"| {label} | {name} |" in text


def test_it_names_every_holder_by_its_label_with_its_images_and_its_share(written, world, stated):
    text = written()
    for key, rows in zip(world.keys, (16, 17), strict=True):
        assert f"| {key.entry.label} | pets 1 | train | {rows} |" in text
        share = 100 * float(stated["metrics"][f"holder/{key.entry.fpr}/val-accuracy"])
        assert f"| {key.entry.label} | 7 | {share:.2f} % |" in text
    assert "| all holders | 14 |" in text
    assert f"Trained on {16 + 17} encrypted images" in text


def test_a_holder_of_whom_nothing_is_known_stands_with_its_fingerprint(written, manifests, stated):
    gone = "ab" * 32
    metrics = stated["metrics"] | {f"holder/{gone}/val-accuracy": "0.250000"}
    assert f"| {gone} | not counted | 25.00 % |  |" in written(metrics=metrics)


@pytest.mark.parametrize("scheme", sorted({name for name, _ in SCHEMES}))
def test_it_says_how_each_scheme_falls_and_never_that_it_holds(written, scheme):
    text = written(**under(scheme), files=(*FILES, bundle.FINGERPRINT))
    assert Descriptor.of(scheme, (8, 8, 3)).traits.falls in text
    claims = [rule for rule in NEVER if rule not in (r"\bprivacy", "differentially")]
    found = [match.group() for rule in (*claims, FORBIDDEN.pattern) for match in re.finditer(rule, text, re.IGNORECASE)]
    assert not found
    assert re.findall("privacy", text) == ["privacy"]
    assert "**Differential privacy:** none." in text


def test_without_encryption_it_says_that_everybody_sees_the_pictures(written):
    text = written(**under("plain"))
    assert "Nothing is encrypted." in text
    assert "Whoever gets the images sees the scenes." in text
    assert "hides scenes" not in text
    assert "sorts images that are not encrypted" in text


def test_without_a_key_no_holder_has_one(written):
    assert "there is no key" in written(**under("patch-mix"))
    assert "there is no key" not in written()


def test_a_fingerprint_is_explained_where_there_is_one(written):
    assert "the leak that known attacks on the scheme use" in written(files=(*FILES, bundle.FINGERPRINT))
    assert bundle.FINGERPRINT not in written()


def test_it_says_how_the_network_was_trained(written, stated):
    recipe = Recipe(optimizer="muon", lr=0.5, batch=32, shift=0.25, cutmix=0.5)
    text = written(RunConfig(rounds=9, seed=5, recipe=recipe))
    best = stated["training"]["rounds"]
    for words in (f"after round {best} of 9", "batches of 32, weight decay", "SGD with Nesterov", "Muon, ", "`small`"):
        assert words in text
    assert "moved by one block with a chance of 0.25; blocks of other images put in" in text
    assert "| cutmix | 0.5 |" in text
    assert "| mirror | false |" in text
    assert "in each round 2 holder(s) trained on their own rows" in text


def test_augmentation_that_the_scheme_does_not_allow_was_not_done(written):
    recipe = Recipe(shift=0.5, cutmix=0.5)
    assert "in each step of training: none." in written(RunConfig(recipe=recipe), **under("vit-block"))


def test_a_pooled_run_is_called_one(written, stated):
    text = written(training=stated["training"] | {"strategy": "pooled"})
    assert "Pooled: one loop over the shards of 2 holder(s)" in text
    assert "| strategy | pooled |" in text
    assert "averaged" not in text


def test_without_validation_rows_nothing_is_claimed(written):
    metrics = metrics_of(checkpoint.Round(1, 0.0, 0.0, {"ab" * 32: 0.0}, {"ab" * 32: 0}))
    text = written(metrics=metrics)
    assert "nothing was measured" in text
    assert "95 %" not in text


def test_names_that_people_chose_cannot_pass_for_a_part_of_the_card(written, manifests):
    evil = "# x | <script> [a](b) `c` *d*"
    dataset = manifests[0].predicate["dataset"] | {"name": evil, "description": evil, "license": evil}
    task = manifests[0].predicate["task"] | {"labels": [evil, "b", "c"]}
    first = dataclasses.replace(manifests[0], predicate=manifests[0].predicate | {"dataset": dataset, "task": task})
    text = written(model=MODEL | {"name": evil}, given=(first, *manifests[1:]))
    escaped = r"\# x \| \<script\> \[a\](b) \`c\` \*d\*"
    assert text.count(escaped) == 5
    assert evil not in text
    row = next(line for line in text.splitlines() if line.startswith("| site-") and "script" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


def test_a_long_list_of_classes_or_data_sets_is_cut_short(written, manifests):
    labels = [f"{'ü' * 195}{number:05}" for number in range(5000)]
    task = manifests[0].predicate["task"] | {"labels": labels}
    long = manifests[0].predicate["dataset"] | {"description": "<" * 4000, "license": "<" * 200, "name": "<" * 120}
    one = dataclasses.replace(manifests[0], predicate=manifests[0].predicate | {"dataset": long, "task": task})
    text = written(given=(one,) * 1000)
    assert "and 4800 more, in `labels.json`" in text
    assert "and 900 more data sets" in text
    assert len(text.encode()) < bundle.MAX_TEXT_BYTES / 2


def test_it_holds_no_path(written, finished, folders, box):
    text = written()
    for path in (finished, box, *folders):
        assert str(path) not in text
    assert not re.search(r"(^|[\s`(])/\w", text)


def test_equal_bundles_have_equal_cards(written):
    assert written() == written()
