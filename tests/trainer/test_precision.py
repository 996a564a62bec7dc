"""The number format is what was asked for, or what this processor does well."""

import pytest

from blindsight.trainer.precision import resolve


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_a_named_format_is_taken(wanted):
    assert resolve(wanted) == wanted


def test_auto_is_the_same_every_time_on_one_machine():
    assert resolve("auto") == resolve("auto")
    assert resolve("auto") in ("fp32", "bf16")


def test_anything_else_is_a_callers_bug():
    with pytest.raises(ValueError, match="got 'fp16'"):
        resolve("fp16")
