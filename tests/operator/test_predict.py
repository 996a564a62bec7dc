"""Predictions belong to their rows whatever the batch, and scores come with an honest interval."""

import numpy as np
import pytest

from blindsight.operator import inputs, predict
from blindsight.operator.admission import Terms
from blindsight.operator.engine import Engine
from tests.operator import bundles
from tests.protocol.worlds import CLASSES


@pytest.fixture
def source(world, loaded, tmp_path):
    pictures = bundles.images(11)
    path = bundles.write_shard(tmp_path / "s", world, pictures, bundles.expected(pictures).argmax(axis=1))
    return inputs.opened(path, Terms.of(loaded, None), world.log)


@pytest.mark.parametrize("batch", [1, 4, 11, 256])
def test_every_row_gets_its_answer_in_any_batch(loaded, source, batch):
    answers = list(predict.predictions(Engine.of(loaded), source, CLASSES, batch))
    wanted = bundles.expected(bundles.images(11)).argmax(axis=1).tolist()
    assert [(a.row, a.index, a.label, a.truth) for a in answers] == [
        (row, index, CLASSES[index], index) for row, index in enumerate(wanted)
    ]


def test_no_more_than_one_batch_is_taken_at_a_time(loaded, source, monkeypatch):
    taken = []
    monkeypatch.setattr(inputs.np, "asarray", lambda rows: taken.append(len(rows)) or np.array(rows))
    answers = predict.predictions(Engine.of(loaded), source, CLASSES, 4)
    next(answers)
    assert taken == [4, 4]  # labels and images of the first batch


def test_a_row_without_a_label_does_not_count():
    assert predict.Score().plus(predict.Prediction(0, 1, "dog", 0.9)) == predict.Score()


def test_a_score_counts_hits():
    score = predict.Score().plus(predict.Prediction(0, 1, "dog", 0.9, truth=1))
    score = score.plus(predict.Prediction(1, 1, "dog", 0.9, truth=2))
    assert (score.n, score.hits, score.accuracy) == (2, 1, 0.5)


def test_a_score_comes_with_its_interval():
    low, high = predict.Score(263, 81).to_json()["interval"]
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_probabilities_add_up_to_one_for_logits_of_any_size():
    rows = predict.softmax(np.array([[1e4, -1e4, 0], [0, 0, 0]], np.float32))
    assert np.allclose(rows.sum(axis=1), 1)
    assert rows[0, 0] == pytest.approx(1)
