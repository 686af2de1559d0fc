"""How outcomes are compared: the same within a tolerance, moments within their errors, and what differs is said."""

import pytest
import torch
from conftest import seeded

from course.check import Check, Failure, Mistake, Wrong, difference, moments, raised, same, verdict

ROOT_OF_2 = Check("x", lambda answer: {"x": answer(2.0)}, mistakes=[Mistake("** 0.5", "", "a square root is missing"), Mistake("0.5", "-0.5", "upside down")])


def run(check, source):
    names = {}
    exec(source, names)
    try:
        return check.probe(names["answer"])
    except ZeroDivisionError as error:
        return Failure("ZeroDivisionError", str(error), "")


def told(body):
    with pytest.raises(Wrong) as error:
        verdict(ROOT_OF_2, run, f"def answer(v):\n    return {body}", "def answer(v):\n    return v ** 0.5")
    return str(error.value)


def test_a_known_mistake_is_named_however_it_is_written_and_an_unknown_one_measured():
    assert told("v") == "x: yours is 2 where 1.414 belongs: a square root is missing"
    assert told("1 / v ** 0.5").endswith(": upside down")
    assert told("v + 1") == "x: yours is 3 where 1.414 belongs"
    assert told("v / 0").startswith("it raises ZeroDivisionError")


def test_right_answers_pass_in_any_form():
    verdict(ROOT_OF_2, run, "import math\ndef answer(v):\n    return math.sqrt(v)", "def answer(v):\n    return v ** 0.5")
    assert same(0.5, torch.tensor(0.5).double().item()) and same([1.0, 2.0], [1, 2]) and same("ValueError", "ValueError")


@pytest.mark.parametrize("got, right", [(float("nan"), 1.0), ([1.0], 1.0), (torch.ones(2), torch.ones(1)), ([1.0], torch.ones(1)), ("a", 1.0)])
def test_other_shapes_kinds_and_nan_differ(got, right):
    assert not same(got, right) and "yours" in difference(got, right)


def test_the_place_of_the_largest_difference_is_said():
    assert difference([[1, 3]], [[1, 2]]) == "yours is 3 at index (0, 1) where 2 belongs"
    assert difference(1.000001, 1.0) == "yours is 1.000001 where 1 belongs"


def test_moments_agree_within_their_errors():
    x = 0.3 * torch.randn(50_000, generator=seeded())
    assert same(moments(x), moments(0.3 * torch.randn(50_000, generator=seeded(1))))
    assert not same(moments(0.3 * x), moments(x)) and not same(moments(x + 0.02), moments(x))
    assert difference(moments(x + 1), moments(x)).startswith("yours is mean 0.99")


def test_what_is_raised_is_an_outcome():
    assert raised(int, "no number") == "ValueError" and raised(int, "3") == "no error"
