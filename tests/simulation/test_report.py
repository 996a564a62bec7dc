import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blindsight.protocol.scheme import SCHEMES, Descriptor, traits_of
from blindsight.simulation.report import Accuracy, Federation, Report, Round, Setup, Sheet, figures, render
from blindsight.simulation.report.sheet import data_uri

VOID = {"img", "link", "meta"}
LE = Descriptor("le", 1, (8, 8, 3), {"block": 4})
NAMES = sorted(name for name, _ in SCHEMES)
HOSTILE = "<script>alert(1)</script>\"' onload=x & </style> ‮ \x00 \ud800"
SPOILT = Descriptor("vortex", 1, (8, 8, 3), {HOSTILE: HOSTILE})


class Page(HTMLParser):
    """Reads a page strictly: every element must be closed in its turn."""

    def __init__(self, source):
        super().__init__()
        self.source, self.open, self.elements, self.words = source, [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data.replace("\u00a0", " ").replace("\u202f", " "))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(self.words)


def _images(count, channels=3, side=8):
    values = np.arange(count * side * side * channels) * 37 % 256
    return values.astype(np.uint8).reshape(count, side, side, channels)


def _report(holders=3, rounds=4, classes=10, channels=3, count=3, **changes):
    images = _images(count, channels)
    report = Report(
        title="A federation on one machine",
        setup=Setup(
            LE, "digits", tuple(f"site{i}" for i in range(holders)), rounds, "inprocess", "small-net", 7, 2, "iid"
        ),
        accuracy=Accuracy(0.964, 0.113, 0.128, 1 / classes),
        test_count=360,
        control_count=360,
        history=tuple(Round(n + 1, min(0.95, 0.5 + n / 20), 1.5 / (n + 1), (0.5,) * holders) for n in range(rounds)),
        class_names=tuple(f"class {i}" for i in range(classes)),
        label_split=np.arange(holders * classes).reshape(holders, classes) + 1234,
        sizes={"shards": 48_300_112, "model_updates": 999},
        seconds={"ceremony": 0.42, "fit": 127.4},
        versions={"blindsight": "0.1.0", "numpy": "2.3.4"},
        federation=Federation("tulip-ocean-42", 3, "9f3a11c7", "trainer/bundle-1", "sha256:4be1c0ffee"),
        sheet=Sheet(images, 255 - images, images[::-1], tuple(range(count))),
    )
    return replace(report, **changes)


def _shown(report):
    return Page(render(report))


def _under(scheme, given=None, **changes):
    """The report of a run under a scheme, with the controls and pictures that it has."""
    descriptor = Descriptor.of(scheme, (8, 8, 3), given)
    report, keyed = _report(**changes), descriptor.traits.scope != "none"
    accuracy = replace(
        report.accuracy,
        other_key=report.accuracy.other_key if keyed else None,
        plain_images=None if scheme == "plain" else report.accuracy.plain_images,
    )
    sheet = report.sheet if keyed and descriptor.traits.invertible else replace(report.sheet, other=None)
    count = 0 if scheme == "plain" else report.control_count
    setup = replace(report.setup, descriptor=descriptor)
    return replace(report, setup=setup, accuracy=accuracy, sheet=sheet, control_count=count)


def test_the_page_is_balanced_html_with_language_and_title():
    page = _shown(_report())
    assert page.source.startswith("<!doctype html>\n")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) >= 1
    assert "A federation on one machine" in page.text


def test_the_page_reaches_for_nothing_outside_itself():
    page = _shown(_report())
    assert not re.search(r"https?:|://|url\(|@import", page.source, re.IGNORECASE)
    reaching = {"action", "background", "cite", "data", "formaction", "ping", "poster", "srcset", "xlink:href"}
    assert not any(reaching & attributes.keys() for _, attributes in page.elements)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]


def test_the_page_has_a_strict_policy_before_anything_else_is_read():
    page = _shown(_report())
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert page.source.index("Content-Security-Policy") < page.source.index("<style>")


def test_there_is_no_script_and_no_handler():
    page = _shown(_report())
    assert page.all("script") == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_headings_descend_without_a_gap():
    levels = [int(tag[1]) for tag, _ in _shown(_report()).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def test_pictures_drawings_and_tables_can_be_read_aloud():
    page = _shown(_report())
    assert all(image["alt"] for image in page.all("img"))
    assert all(header["scope"] in ("row", "col") for header in page.all("th"))
    assert all(drawing["role"] == "img" for drawing in page.all("svg"))
    assert page.source.count("<svg") == len(re.findall(r"<svg[^>]*><title>[^<]+</title>", page.source))


@pytest.mark.parametrize(
    "value",
    [
        "96.4 %", "93.9 to 97.9 %", "11.3 %", "12.8 %", "10.0 %", "360 test images", "small-net", "inprocess",
        "48.3 MB", "48 300 112", "999 B", "model updates", "0.42 s", "2 min 07 s", "2.3.4", "tulip-ocean-42",
        "9f3a11c7", "trainer/bundle-1", "sha256:4be1c0ffee", "1 234", "65.0 %", "site2", "class 9",
    ],
)  # fmt: skip
def test_what_the_report_was_given_is_shown(value):
    assert value in _shown(_report()).text


def test_the_limits_are_said_in_the_words_that_were_agreed_on():
    text = _shown(_report()).text
    assert "perceptually encrypted" in text
    assert "depends on the picture: contours stay" in text
    assert "Anyone who holds the files and wants the scene can compute it." in text
    assert "One encrypted photo is enough to compute the key of LE" in text
    assert "Labels are plain" in text
    assert "shards stayed at the holders" in text
    assert "This file shows plain images; treat it like them." in text


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("other_key", [0.11, 0.5])
def test_no_word_promises_what_the_schemes_do_not_do(scheme, other_key):
    text = _shown(_under(scheme, accuracy=Accuracy(0.9, other_key, 0.1, 0.1, 0.93))).text.lower()
    text = text.replace(traits_of(scheme, 1).title, "")  # where components are "reversed or not"
    promises = r"\b(secure\w*|security|private|privacy|safe\w*|confidential\w*|anonym\w*|de-identif\w*|reversed)\b"
    assert re.findall(promises, text) == []


def test_the_headline_says_near_chance_only_where_both_controls_are():
    near = _shown(_report(accuracy=Accuracy(0.96, 0.12, 0.11, 0.1))).text
    above = _shown(_report(accuracy=Accuracy(0.96, 0.12, 0.53, 0.1))).text
    assert "Both are near chance: the model is bound to the holders’ key." in near
    assert "At least one is above chance" in above
    assert "50 % of what the model gained over guessing does not need the holders’ key" in above


def test_the_controls_say_nothing_of_a_network_that_has_not_learned():
    text = _shown(_report(accuracy=Accuracy(0.11, 0.1, 0.12, 0.1))).text
    assert "these controls say nothing" in text
    assert "bound to the holders’ key" not in text


def test_the_plain_control_is_shown_only_where_it_was_run():
    assert "trained and tested on plain images" not in _shown(_report()).text
    text = _shown(_report(accuracy=Accuracy(0.964, 0.1, 0.1, 0.1, 0.98))).text
    assert "encryption costs 1.6 points" in text
    assert "no difference" in _shown(_report(accuracy=Accuracy(0.964, 0.1, 0.1, 0.1, 0.964))).text


def test_a_plain_run_is_not_called_encrypted():
    text = _shown(_under("plain")).text
    assert "nothing was encrypted" in text
    assert "perceptually encrypted" not in text


@pytest.mark.parametrize("scheme", sorted(set(NAMES) - {"le", "plain"}))
def test_how_a_scheme_falls_is_said_in_the_words_of_the_table(scheme):
    text = _shown(_under(scheme)).text
    assert traits_of(scheme, 1).falls in text
    assert "key of LE" not in text


@pytest.mark.parametrize("scheme", NAMES)
def test_a_control_is_called_one_and_nothing_else_is(scheme):
    control = traits_of(scheme, 1).control
    text = _shown(_under(scheme)).text
    assert ("It is the control" in text) == bool(control)
    assert control in text


@pytest.mark.parametrize("scheme", ["le", "ele", "vit-block"])
def test_that_eyes_lose_the_scene_is_said_of_scrambled_blocks(scheme):
    assert "depends on the picture: contours stay" in _shown(_under(scheme)).text


@pytest.mark.parametrize("scheme", sorted(set(NAMES) - {"le", "ele", "vit-block", "plain"}))
def test_that_eyes_lose_the_scene_is_said_of_no_other_scheme(scheme):
    text = _shown(_under(scheme)).text
    assert "not see the scene" not in text
    assert "look at the pictures above" in text
    assert traits_of(scheme, 1).title in text


@pytest.mark.parametrize(
    ("scheme", "given", "words"),
    [
        ("le", {}, "le, blocks of 4 × 4 pixels"),
        ("cat-map", {}, "cat-map"),
        ("vortex", {"strength": 800}, "vortex, vortices 5, strength 800"),
        ("pixel", {"scope": "image"}, "pixel, scope image"),
        ("restricted", {"fixed_blocks": 2}, "restricted, blocks of 4 × 4 pixels, fixed blocks 2, fixed pixels 36"),
    ],
)
def test_a_scheme_is_shown_with_its_parameters(scheme, given, words):
    page = _shown(_under(scheme, given))
    assert f"digits · {words} · 3 holders" in page.text
    assert words in page.words
    assert "block 1" not in page.text


def test_a_scheme_without_a_key_has_no_control_and_no_picture_under_another_key():
    page = _shown(_under("patch-mix", accuracy=Accuracy(0.9, None, 0.5, 0.1)))
    assert "another key" not in page.text
    assert "The scheme has no key, so there is none that the model could be bound to." in page.text
    assert "50 % of what the model gained over guessing carries over to plain images" in page.text
    assert "bound to the holders" not in page.text
    assert "hints of the key" not in page.text
    assert "key of the epoch" not in page.text
    assert len(page.all("img")) == 6


def test_plain_images_that_were_scaled_for_the_model_are_called_so():
    assert "plain test images, scaled to the 4 × 4 pixels of encrypted ones" in _shown(_under("patch-mix")).text
    assert "scaled to" not in _shown(_under("le")).text


def test_without_encryption_no_control_is_shown():
    page = _shown(_under("plain"))
    assert "there is no control to measure" in page.text
    assert "Control:" not in page.text
    assert len(page.all("img")) == 6


def test_a_scheme_that_loses_detail_has_no_picture_under_another_key_but_a_control():
    page = _shown(_under("vortex", accuracy=Accuracy(0.9, 0.5, 0.1, 0.1)))
    assert "has no decryption" in page.text
    assert "Control: encrypted under another key" in page.text
    assert "does not need the holders’ key" in page.text
    assert len(page.all("img")) == 6


@pytest.mark.parametrize("other_key", [0.12, 0.9])
@pytest.mark.parametrize(
    ("scheme", "given"), [("pixel", {"scope": "image"}), ("patch-shuffle", {}), ("restricted", {})]
)
def test_no_model_is_called_bound_to_a_key_where_every_image_has_its_own(scheme, given, other_key):
    text = _shown(_under(scheme, given, accuracy=Accuracy(0.9, other_key, 0.12, 0.1))).text
    assert "Every image has a key of its own, so there is none that the model could be bound to." in text
    assert "to the model these are like the ones of the result" in text
    assert "bound to the holders" not in text
    assert "hints of the key" not in text


@pytest.mark.parametrize("scheme", ["pixel", "ele", "etc", "cat-map"])
def test_a_model_is_called_bound_to_the_key_where_both_controls_are_near_chance(scheme):
    text = _shown(_under(scheme, accuracy=Accuracy(0.9, 0.12, 0.12, 0.1))).text
    assert "Both are near chance: the model is bound to the holders’ key." in text


@pytest.mark.parametrize("scheme", ["patch-mix", "patch-shuffle"])
def test_a_single_control_says_nothing_of_a_network_that_has_not_learned(scheme):
    text = _shown(_under(scheme, accuracy=Accuracy(0.11, 0.1, 0.9, 0.1))).text
    assert "Says nothing while the result itself is near chance." in text
    assert "carries over" not in text
    assert ("so this control says nothing" in text) == (scheme == "patch-mix")


def test_hostile_names_stay_text():
    report = _report(title=HOSTILE, class_names=(HOSTILE,) * 10, versions={HOSTILE: HOSTILE}, curve_note=HOSTILE)
    setup = replace(report.setup, holders=(HOSTILE,) * 3, data=HOSTILE, network=HOSTILE, descriptor=SPOILT)
    federation = Federation(HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE)
    page = _shown(replace(report, setup=setup, federation=federation, sizes={HOSTILE: 1}, seconds={HOSTILE: 1.0}))
    assert page.all("script") == []
    assert len(page.all("style")) == 1
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert "<script>alert(1)</script>" in page.text
    assert not {"\x00", "‮"} & set(page.source)
    page.source.encode("utf-8")


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_any_class_name_leaves_the_page_balanced(name):
    _shown(_report(classes=2, class_names=(name, name), count=2)).source.encode("utf-8")


@pytest.mark.parametrize("holders", [1, 2, 8, 9, 40])
@pytest.mark.parametrize("rounds", [0, 1, 2, 130])
def test_any_number_of_holders_and_rounds_can_be_drawn(holders, rounds):
    page = _shown(_report(holders=holders, rounds=rounds))
    assert ("No round was recorded." in page.text) == (rounds == 0)
    assert "nan" not in page.source.split("</style>")[1].split("<img")[0]


def test_long_histories_are_drawn_within_the_frame():
    history = tuple(Round(n, 0.5, 1.0, (0.5, 0.4, 0.3)) for n in range(131))
    page = _shown(_report(history=history))
    assert "Numbers of all 131 rounds" in page.text
    assert all(0 <= float(text["x"]) <= 440 for text in page.all("text"))


def test_rounds_without_measurements_at_holders_show_the_common_curve_alone():
    page = _shown(_report(history=(Round(1, 0.4, 1.0), Round(2, 0.6, 0.8))))
    assert "all holders together" in page.text
    assert not any("line-0" in group.get("class", "") for group in page.all("g"))


def test_one_holder_is_spoken_of_as_one():
    text = _shown(_report(holders=1, rounds=1)).text
    assert "One holder trained a network" in text
    assert "1 holder · 1 round ·" in text


@pytest.mark.parametrize("classes", [2, 10, 11, 100])
def test_any_number_of_classes_gets_bars_and_numbers(classes):
    page = _shown(_report(classes=classes, count=2))
    fills = [box["fill"] for box in page.all("rect") if "fill" in box]
    assert len(fills) == 3 * classes
    assert len(set(fills)) == classes
    assert f"class {classes - 1}" in page.text


def test_a_holder_without_images_has_an_empty_bar():
    page = _shown(_report(label_split=np.array([[0] * 10, [1] * 10, [0] * 10])))
    assert "site0 · 0 images" in page.text
    assert len([box for box in page.all("rect") if "fill" in box]) == 10


def test_grey_images_stay_grey_and_colours_stay_as_they_are():
    for channels, mode in ((1, "L"), (3, "RGB")):
        image = _images(1, channels)[0]
        picture = Image.open(io.BytesIO(base64.b64decode(data_uri(image).split(",")[1])))
        assert picture.mode == mode
        assert np.array_equal(np.asarray(picture).reshape(image.shape), image)


def test_the_sheet_shows_every_image_in_three_forms():
    page = _shown(_report(channels=1, count=5))
    assert [image["alt"] for image in page.all("img")][:3] == [
        "image 1, class 0: plain",
        "image 1, class 0: perceptually encrypted",
        "image 1, class 0: decrypted with another key",
    ]
    assert len(page.all("img")) == 15
    assert "image-rendering:pixelated" in page.source


def test_an_empty_sheet_is_allowed():
    assert _shown(_report(count=0)).all("img") == []


def test_rendering_twice_gives_the_same_page():
    assert render(_report()) == render(_report())


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],  # the last: Newcombe 1998, table I
)
def test_the_interval_is_wilsons(successes, count, low, high):
    assert figures.wilson(successes / count, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**16, "10000.0 TB")],
)
def test_sizes_are_written_for_people(count, written):
    assert figures.size(count).replace("\u00a0", " ") == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0.00 s"), (0.994, "0.99 s"), (59.94, "59.9 s"),
     (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (7620, "2 h 07 min")],
)  # fmt: skip
def test_durations_are_written_for_people(seconds, written):
    assert figures.duration(seconds).replace("\u00a0", " ") == written


@pytest.mark.parametrize(
    "made",
    [
        lambda: Accuracy(1.2, 0, 0, 0.1),
        lambda: Accuracy(1, 0, 0, 0.1, float("nan")),
        lambda: Round(1, -0.1, 0.0),
        lambda: _report(test_count=0),
        lambda: _report(control_count=0),
        lambda: _report(control_count=-1, accuracy=Accuracy(1, None, None, 0.1)),
        lambda: _report(label_split=np.zeros((2, 10), np.int64)),
        lambda: _report(history=(Round(1, 0.5, 1.0, (0.5,)),)),
        lambda: _report(classes=2, count=3),
        lambda: replace(_report().setup, holders=()),
        lambda: Sheet(_images(2), _images(2), _images(1), (0, 1)),
        lambda: Sheet(_images(1), _images(1), _images(1).astype(np.float32), (0,)),
    ],
)
def test_values_that_do_not_fit_cannot_be_made(made):
    with pytest.raises(ValueError, match="expected"):
        made()


def test_controls_measured_on_fewer_images_say_so():
    page = _shown(_report(control_count=123))
    assert "On 123 of these images" in page.text
    assert "On the same images" in _shown(_report()).text


def test_images_under_a_scheme_without_a_key_are_not_called_encrypted():
    text = _shown(_under("patch-mix")).text
    assert "the changed shards stayed at the holders" in text
    assert "perceptually encrypted images" not in text
    assert "perceptually encrypted images" in _shown(_under("le")).text
