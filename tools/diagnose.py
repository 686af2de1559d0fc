"""Saying which mistake an answer holds: it is compared with the right value and with what each known mistake would give.

The exercises of the notebooks and the grader of the learner's workspace both use it. A mistake is a sentence that says what
went wrong; the value beside it is what that mistake produces, computed, so that a diagnosis is a measurement.
"""

import torch


def as_numbers(value):
    """A number, list or tensor as a float64 CPU tensor."""
    return torch.as_tensor(value).detach().cpu().to(torch.float64)


def short(value):
    return f"{float(value):.4g}"


def same(got, right, tolerance):
    """Whether two values have one shape and agree; NaN agrees with nothing."""
    got, right = as_numbers(got), as_numbers(right)
    return got.shape == right.shape and torch.allclose(got, right, rtol=tolerance, atol=tolerance)


def explain(what, got, right, mistakes=None, tolerance=1e-6, hint=""):
    """Assert that `got` is `right`, numbers or tensors, within `tolerance`; `what` names the value in the message.

    `mistakes` maps a sentence to the value which that mistake gives; when `got` is one of these, the sentence is the message.
    Any other wrong value is measured, and `hint` says where to look.
    """
    if got is not None and same(got, right, tolerance):
        return
    assert got is not None, f"{what} is None: is there a return?"
    got, right = as_numbers(got), as_numbers(right)
    for mistake, value in (mistakes or {}).items():
        assert not same(got, value, tolerance), f"{what}: {mistake}"
    hint = f": {hint}" if hint else ""
    shapes = f"should have shape {tuple(right.shape)}, yours has {tuple(got.shape)}"
    assert got.shape == right.shape, f"{what} {shapes}{hint}"
    assert torch.isfinite(got).all(), f"{what}: NaN or infinity in it{hint}"
    worst = (got - right).abs().argmax()
    place = f" at index {tuple(int(i) for i in torch.unravel_index(worst, got.shape))}" if got.ndim else ""
    belongs, yours = right.flatten()[worst], got.flatten()[worst]
    digits = 4 if short(belongs) != short(yours) else 10
    raise AssertionError(f"{what} should be {belongs:.{digits}g}{place}, yours is {yours:.{digits}g}{hint}")


def explain_moments(what, drawn, mean, variance, mistakes=None):
    """Assert that the entries of `drawn` have this mean and variance, within five standard errors.

    `mistakes` maps a sentence to the (mean, variance) which that mistake gives.
    """
    drawn = as_numbers(drawn)
    m, v = drawn.mean().item(), drawn.var().item()

    def near(mean, variance):
        close = abs(m - mean) <= 5 * (variance / drawn.numel()) ** 0.5 + 1e-6
        return close and abs(v - variance) <= 5 * variance * (2 / drawn.numel()) ** 0.5 + 1e-6

    if near(mean, variance):
        return
    measured = f"{what} has mean {short(m)} and variance {short(v)}, expected {short(mean)} and {short(variance)}"
    for mistake, moments in (mistakes or {}).items():
        assert not near(*moments), f"{measured}: {mistake}"
    raise AssertionError(measured)
