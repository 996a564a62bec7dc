"""``holder quality``: what one's own key leaves as it was, and nothing of the key itself."""

from __future__ import annotations

import pytest

from blindsight.holder.ciphers import cipher_for
from blindsight.holder.quality_cli import demand_effect
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.scheme import Descriptor, scheme_key
from tests.holder import lives


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    life = lives.Life(lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now(), epochs=2))
    life.comes("camera", "device")
    life.asks("camera", moment=now())
    return life.root


@pytest.fixture
def desk(founded, capsys):
    desk = lives.Desk(founded, capsys)
    desk.names = lives.NAMES
    return desk


def figures_of(desk, epoch, descriptor):
    key = scheme_key(desk.secret("anna", epoch), desk.fed, epoch, descriptor.digest)
    return cipher_for(descriptor, key).quality().numbers()


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("name", ["le", "vortex", "pixel"])
def test_the_figures_are_those_of_the_epochs_key(desk, name, epoch):
    (facts,) = desk.json("anna", "quality", "--scheme", name, "--shape", "32x32x3", "--epoch", epoch)
    figures = figures_of(desk, epoch, Descriptor.of(name, (32, 32, 3)))
    assert facts.items() >= figures.items()
    assert (facts["scheme"], facts["shape"], facts["epoch"]) == (name, "32x32x3", epoch)


def test_the_newest_epoch_is_meant_where_none_is_named(desk):
    assert desk.json("anna", "quality", "--shape", "8x8x3")[0]["epoch"] == 2


def test_parameters_make_another_key(desk):
    (facts,) = desk.json("anna", "quality", "--shape", "32x32x3", "--block", "8")
    assert facts["parameters"] == {"block": 8}
    assert facts["units"] == 384


def test_a_key_that_leaves_much_as_it_was_is_spoken_of(desk):
    _, _, err = desk.type(
        "anna", "quality", "--scheme", "restricted", "--shape", "32x32x3", "--param", "fixed_pixels=48"
    )
    assert "of the pixels stay as they are" in err
    assert "stay as they are" not in desk.type("anna", "quality", "--shape", "32x32x3")[2]


def test_nothing_is_lent_under_a_key_that_does_nothing(desk):
    still = ("--scheme", "restricted", "--param", "fixed_pixels=48", "--param", "fixed_blocks=64")
    code = desk.keys["camera"].entry.code
    refused, said = desk.refused("anna", "device lend", code, "--shape", "32x32x3", *still)
    assert refused == "E_SCHEME"
    assert "100.0 % of the pixels stay as they are under this key of scheme restricted" in said


def test_the_control_may_leave_everything_as_it_is():
    demand_effect(cipher_for(Descriptor.of("plain", (32, 32, 3)), bytes(32)))


def test_no_figure_is_a_secret(desk):
    _, out, err = desk.type("anna", "quality", "--shape", "8x8x3", "--json")
    secret = desk.secret("anna", 2)
    key = scheme_key(secret, desk.fed, 2, Descriptor.of("le", (8, 8, 3)).digest)
    for spelling in (secret.hex(), to_b64(secret), key.hex(), to_b64(key)):
        assert spelling not in out + err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--shape", "9x9x3"), "E_SCHEME"),
        (("--shape", "8x8x3", "--epoch", "9"), "E_EPOCH"),
        (("--shape", "8x8x2"), "E_SCHEME"),
    ],
    ids=str,
)
def test_what_no_key_is_for_is_refused(desk, words, code):
    assert desk.refused("anna", "quality", *words)[0] == code


def test_a_device_that_holds_no_epoch_secret_is_refused(desk):
    assert desk.type("camera", "quality", "--shape", "8x8x3")[0] == 1
