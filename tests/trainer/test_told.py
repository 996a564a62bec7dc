"""What other programs write beside a model: read strictly where it is used, left alone otherwise."""

from __future__ import annotations

import json

import pytest

from blindsight.protocol.errors import FormatError
from blindsight.trainer.told import Told, told_in
from tests.trainer.foreign_models import CLASSES, CONFIG, HEADS, MEAN, PREPROCESSOR, SHAPE, STD

TIMM = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 2,
    "num_features": 192,
    "global_pool": "token",
    "label_names": ["cat", "dog"],
    "model_args": {"img_size": 224},
    "pretrained_cfg": {
        "tag": "augreg",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "input_size": [3, 224, 192],
        "crop_pct": 0.9,
        "pool_size": None,
    },
}


@pytest.fixture
def told(tmp_path):
    """What is read of a folder with these documents."""

    def read(config=None, pixels=None):
        for name, content in (("config.json", config), ("preprocessor_config.json", pixels)):
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                (tmp_path / name).write_text(text)
        return told_in(tmp_path)

    return read


def test_nothing_there_says_nothing(told):
    assert told() == Told()


def test_a_hugging_face_folder_says_everything(told):
    assert told(CONFIG, PREPROCESSOR) == Told(
        heads=HEADS, eps="0.001", size=SHAPE[:2], classes=CLASSES, mean=MEAN, std=STD
    )


def test_a_timm_folder_says_all_but_the_heads(told):
    assert told(TIMM) == Told(
        size=(224, 192), pool="token", classes=("cat", "dog"), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )


def test_one_side_stands_for_a_square(told):
    assert told({"image_size": 224}).size == (224, 224)


def test_names_come_in_label_order(told):
    names = {str(place): f"class {place}" for place in reversed(range(11))}
    assert told({"id2label": names}).classes == tuple(f"class {place}" for place in range(11))


def test_pixels_that_are_not_normalised_have_mean_0_and_deviation_1(told):
    assert told(None, PREPROCESSOR | {"do_normalize": False}) == Told(mean=(0.0,), std=(1.0,))


def test_what_the_caller_says_goes_first():
    assert Told(heads=3, eps="0.1").updated(Told(heads=4, mean=(0.5,))) == Told(heads=4, eps="0.1", mean=(0.5,))


def test_null_is_as_good_as_absent(told):
    assert told({"image_size": None, "id2label": None}) == Told()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("[1]", "must be a JSON object"),
        ("{", "not readable as JSON"),
        ('{"layer_norm_eps": NaN}', "not readable as JSON"),
        ('{"heads": 1, "heads": 2}', "names the same key twice"),
        ("[" * 100_000, "not readable as JSON"),
        (" " * (2**22 + 1), "more than the 4194304 bytes"),
        ({"num_attention_heads": "3"}, "num_attention_heads must be an integer"),
        ({"num_attention_heads": 0}, "num_attention_heads must be an integer"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be above 0"),
        ({"layer_norm_eps": "1e-6"}, "layer_norm_eps must be a number"),
        ({"layer_norm_eps": True}, "layer_norm_eps must be a number"),
        ({"hidden_act": "quick_gelu"}, "hidden_act must be 'gelu'"),
        ({"image_size": [224]}, "image_size must be"),
        ({"id2label": {"0": "cat", "2": "dog"}}, "id2label in config.json to name the classes 0 to 1"),
        ({"id2label": {"00": "cat"}}, "id2label in config.json"),
        ({"id2label": {"0": 5}}, "id2label.0 must be a string"),
        ({"id2label": ["cat"]}, "id2label must be an object"),
        ({"global_pool": "map"}, "global_pool must be 'token' or 'avg'"),
        ({"pretrained_cfg": []}, "pretrained_cfg must be an object"),
        ({"pretrained_cfg": {"mean": 0.5}}, "pretrained_cfg.mean must be an array"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(told, config, sentence):
    with pytest.raises(FormatError, match=sentence):
        told(config)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"do_rescale": False}, "do_rescale must be True"),
        ({"rescale_factor": 0.5}, "rescale_factor in preprocessor_config.json to be 1/255"),
        ({"image_mean": [0.5] * 4}, "image_mean must be an array of 1 to 3 entries"),
        ({"image_std": ["0.5"]}, "must be a number"),
    ],
)
def test_a_normalisation_that_is_not_computed_here_is_refused(told, change, sentence):
    with pytest.raises(FormatError, match=sentence):
        told(None, PREPROCESSOR | change)
