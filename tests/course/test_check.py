"""The helper behind every diagnosis: right answers pass, known mistakes are named, unknown ones are measured."""

import pytest
import torch
from conftest import seeded

from course.check import assert_close, assert_moments


def test_right_answers_pass_in_any_form():
    assert_close("x", 0.5, 0.5)
    assert_close("x", [1.0, 2.0], torch.tensor([1.0, 2.0]))
    assert_close("x", torch.tensor(0.5), 0.5, {"halved": 0.5})  # the right value wins over a mistake like it


def test_a_known_mistake_is_named_and_an_unknown_one_measured():
    with pytest.raises(
        AssertionError, match="^the spread: yours is 0.02 where 0.1414 belongs: a square root is missing$"
    ):
        assert_close("the spread", 0.02, 0.02**0.5, {"a square root is missing": 0.02})
    with pytest.raises(AssertionError, match=r"^the spread should be 0.1414, yours is 0.5$"):
        assert_close("the spread", 0.5, 0.02**0.5, {"a square root is missing": 0.02})
    with pytest.raises(AssertionError, match=r"x should be 2 at index \(0, 1\), yours is 3"):
        assert_close("x", [[1, 3]], [[1, 2]])


@pytest.mark.parametrize(
    "got, said", [(None, "is None"), (float("nan"), "NaN"), ([1.0], r"shape \(\), yours has \(1,\)")]
)
def test_no_answer_nan_and_a_wrong_shape_are_said(got, said):
    with pytest.raises(AssertionError, match=said):
        assert_close("x", got, 1.0)


@pytest.mark.parametrize("got", [0.5, float("nan"), [1.0]])
def test_a_hint_ends_every_message_about_an_unknown_mistake(got):
    with pytest.raises(AssertionError, match="is a root missing[?]$"):
        assert_close("x", got, 1.0, {"doubled": 2.0}, hint="is a root missing?")
    with pytest.raises(AssertionError, match="^x: .*: doubled$"):
        assert_close("x", 2.0, 1.0, {"doubled": 2.0}, hint="is a root missing?")


def test_moments_name_the_mistake_that_has_them():
    x = 0.3 * torch.randn(50_000, generator=seeded())
    assert_moments("x", x, 0, 0.09)
    with pytest.raises(AssertionError, match="variance 0.0081, expected 0 and 0.09: the variance stands"):
        assert_moments("x", 0.3 * x, 0, 0.09, {"the variance stands where its root belongs": (0, 0.3**2 * 0.09)})
    with pytest.raises(AssertionError, match="^x has mean 0.9979"):
        assert_moments("x", x + 1, 0, 0.09)
