"""``vortex`` against the parameters that the authors published, and against MATLAB's way of rounding."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.ciphers import Cipher, Rings, Vortex, VortexParameters, VortexRingParameters, cipher_for
from blindsight.protocol.scheme import Descriptor
from tests.holder import scheme_draws

FILE = Path("shared", "design", "vectors", "vortex.json")
KEY = bytes(range(32))


@pytest.fixture(scope="module")
def published():
    """The published parameters, which are others' data and therefore not kept here."""
    for folder in Path(__file__).resolve().parents:
        if (folder / FILE).is_file():
            return json.loads((folder / FILE).read_text())["cases"]
    pytest.skip(f"there is no {FILE} beside the project, so the published vortices are not tried")


def parameters_of(case):
    """A row of the file is centre, radius, and the degrees of ring 1 and on, one more than are used."""
    side, vortices = case["side"], []
    for row, column, radius, *degrees in case["vortices"]:
        swirl = np.array(degrees[: int(radius)]) / case["divisor"]
        vortices.append(Vortex(int(row), int(column), swirl))
    return VortexParameters((side, side, 1), tuple(vortices))


def source_of(parameters):
    """From which pixel each pixel is taken, found out with two images that number the pixels."""
    height, width, channels = parameters.shape
    numbers = np.arange(height * width).reshape(1, height, width, 1)
    images = np.concatenate([numbers & 255, numbers >> 8]).astype(np.uint8)
    cipher = Cipher(Descriptor.of("vortex", parameters.shape), parameters)
    low, high = cipher.encrypt(np.repeat(images, channels, axis=3))[..., 0].astype(int).reshape(2, -1)
    return low + 256 * high


@pytest.mark.parametrize(("name", "unchanged", "lost"), [("cifar", 620, 64), ("fashion", 316, 127)])
def test_the_published_parameters_give_the_published_map(published, name, unchanged, lost):
    case = published[name]
    source = source_of(parameters_of(case))
    assert source.tolist() == case["map"]
    assert int((source == np.arange(source.size)).sum()) == unchanged == case["unchanged_pixels"]
    assert source.size - len(set(source.tolist())) == lost == case["lost_pixels"]


def test_the_published_key_for_cifar_leaves_three_fifths_of_the_pixels_where_they_are(published):
    quality = parameters_of(published["cifar"]).quality()
    assert quality.unchanged == 620 / 1024
    assert quality.facts()["unchanged pixels"] == "60.5 %"


def expected_source(side, centre, radius, angle):
    """One vortex that turns all its rings but the last by an angle a ring, in plain arithmetic."""
    source = np.arange(side * side).reshape(side, side)
    result = source.copy()
    for a in range(1, 2 * radius + 2):
        for b in range(1, 2 * radius + 2):
            x, y = a - radius - 0.5, b - radius - 0.5
            rho = math.hypot(x, y)
            if rho > radius:
                continue
            k = scheme_draws.nearest(rho)
            phi = math.atan2(y, x) + (radius - k) * angle
            from_a = scheme_draws.nearest(rho * math.cos(phi) + radius + 0.5)
            from_b = scheme_draws.nearest(rho * math.sin(phi) + radius + 0.5)
            corner = centre - radius - 1
            result[corner + a - 1, corner + b - 1] = source[corner + from_a - 1, corner + from_b - 1]
    return result.ravel()


@settings(deadline=None, max_examples=60)
@given(angle=st.floats(-7, 7), radius=st.integers(1, 6))
def test_a_vortex_is_its_formula_for_any_angle(angle, radius):
    parameters = VortexParameters((16, 16, 3), (Vortex(8, 8, np.full(radius, angle)),))
    assert source_of(parameters).tolist() == expected_source(16, 8, radius, angle).tolist()


@pytest.mark.parametrize("angle", [0.3, -1.1, 2.6])
def test_the_outermost_ring_never_moves(angle):
    swirl = np.zeros(5)
    swirl[-1] = angle
    source = source_of(VortexParameters((16, 16, 1), (Vortex(8, 8, swirl),)))
    assert source.tolist() == list(range(256))


def test_halves_are_rounded_away_from_zero_as_in_matlab():
    """An eighth of a turn puts corners on axes: sources at 2.5, where rounding to even numbers finds other pixels."""
    source = source_of(VortexParameters((6, 6, 1), (Vortex(3, 3, np.array([math.pi / 4, 0])),))).reshape(6, 6)
    taken = {(row, column): divmod(int(source[row, column]), 6) for row in (1, 2) for column in (1, 2)}
    assert taken == {(1, 1): (2, 1), (1, 2): (1, 2), (2, 1): (2, 2), (2, 2): (2, 2)}


def test_the_swirl_of_ring_k_is_entry_k_and_the_rings_are_told_apart():
    """Quarter turns of one ring move the pixels of that ring and no others."""
    for ring in (1, 2, 3):
        swirl = np.zeros(4)
        swirl[ring - 1] = math.pi / 2 / (4 - ring)
        source = source_of(VortexParameters((12, 12, 1), (Vortex(6, 6, swirl),))).reshape(12, 12)
        for row, column in zip(*np.nonzero(source != np.arange(144).reshape(12, 12)), strict=True):
            x, y = row - 4.5, column - 4.5  # the window of 9 begins at 1, counted from 0; its middle is at 3.5
            assert scheme_draws.nearest(math.hypot(x, y)) == ring
            assert int(source[row, column]) == int((4.5 - y) * 12 + 4.5 + x)


def test_vortices_follow_one_another():
    one, two = Vortex(8, 8, np.full(5, 0.7)), Vortex(6, 9, np.full(4, -0.9))
    shape = (16, 16, 1)
    both, first, second = (source_of(VortexParameters(shape, given)) for given in ((one, two), (one,), (two,)))
    assert both.tolist() == first[second].tolist()
    assert both.tolist() != second[first].tolist()


def test_a_vortex_of_radius_zero_does_nothing():
    source = source_of(VortexParameters((8, 8, 1), (Vortex(1, 8, np.empty(0)),)))
    assert source.tolist() == list(range(64))


@pytest.mark.parametrize("shape", [(6, 6, 1), (6, 40, 3), (28, 28, 1), (32, 32, 3), (33, 70, 1)])
@pytest.mark.parametrize("scheme", ["vortex", "vortex-ring"])
def test_vortices_from_a_key_have_room_and_something_to_turn(scheme, shape):
    parameters = cipher_for(Descriptor.of(scheme, shape, {"vortices": 100}), KEY).parameters
    height, width, first = *shape[:2], 1 if scheme == "vortex" else 0
    assert len(parameters.vortices) == 100
    for one in parameters.vortices:
        row, column = one.row - first, one.column - first
        radius = len(one.swirl if scheme == "vortex" else one.steps)
        assert radius >= 1
        assert radius <= row <= height - 1 - radius
        assert radius <= column <= width - 1 - radius


def test_swirls_from_a_key_are_whole_millionths_of_a_radian():
    parameters = cipher_for(Descriptor.of("vortex", (32, 32, 3), {"vortices": 50, "strength": 800}), KEY).parameters
    for one in parameters.vortices:
        assert np.array_equal(one.swirl, np.rint(1e6 * one.swirl) / 1e6)


def test_a_full_turn_of_rings_is_no_turn():
    steps = np.array([7, 11])
    there = Rings(3, 3, steps)
    back = Rings(3, 3, np.array([8, 12]) - steps)
    cipher = Cipher(Descriptor.of("vortex-ring", (8, 8, 1)), VortexRingParameters((8, 8, 1), (there, back)))
    images = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    assert np.array_equal(cipher.encrypt(images), images)


def test_a_ring_turns_the_way_it_is_counted():
    """Ring 1 in the order of atan2(row, column): from the left above round to the left."""
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    assert sorted(ring, key=lambda place: math.atan2(*place)) == ring
    cipher = Cipher(
        Descriptor.of("vortex-ring", (5, 5, 1)), VortexRingParameters((5, 5, 1), (Rings(2, 2, np.array([1])),))
    )
    image = np.arange(25, dtype=np.uint8).reshape(1, 5, 5, 1)
    result = cipher.encrypt(image)[0, :, :, 0]
    for (u, v), (to_u, to_v) in zip(ring, ring[1:] + ring[:1], strict=True):
        assert result[2 + to_u, 2 + to_v] == image[0, 2 + u, 2 + v, 0]
