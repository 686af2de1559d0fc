"""The pieces of the library that a learner writes anew: for each its hint, and a check that says which mistake was made.

A check gets `lib`, the names of the learner's module, in which every other piece is the reference's own: each piece is
graded for itself. It computes the right values from plain formulas, and beside them what each classic mistake would give.
"""

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from tools.diagnose import as_numbers, explain, same

NOTEBOOKS = {
    "forward": "01_forward_diffusion",
    "schedule": "02_noise_schedule",
    "embedding": "03_time_embedding",
    "unet": "04_unet",
    "loss": "05_noise_prediction_loss",
    "sampling": "06_reverse_sampling",
    "training": "07_training",
    "fast_sampling": "08_fast_sampling",
    "evaluation": "09_evaluation",
}
PIECES = {}  # by name, in the order of the notebooks


@dataclass
class Piece:
    name: str  # "noise_step", or "NoiseSchedule.posterior" for a method
    module: str
    hint: str
    blank: slice  # which statements of the body, after the docstring, the learner writes
    check: object


def piece(module, name, hint, blank=slice(None)):
    """Register the check below as that of a piece."""

    def register(check):
        PIECES[name] = Piece(name, module, hint, blank, check)
        return check

    return register


def compare(what, got, right, mistakes=None, tolerance=1e-6):
    """`explain`, with the numbers in front of a mistake's name: your value and the right one, where they differ most."""
    told, right = {}, as_numbers(right)
    for mistake, value in (mistakes or {}).items():
        value = as_numbers(value)
        if value.shape == right.shape and not same(value, right, tolerance):
            k = (value - right).abs().nan_to_num(math.inf, math.inf).argmax()
            digits = 4 if not same(value, right, 1e-2) else 7
            yours, belongs = (f"{float(v.flatten()[k]):.{digits}g}" for v in (value, right))
            mistake = f"yours is {yours} where {belongs} belongs: {mistake}"
        told[mistake] = value
    explain(what, got, right, told, tolerance)


@contextmanager
def advising(error, advice):
    """Turn an error of this kind, in the learner's code, into a message with advice."""
    try:
        yield
    except error as raised:
        if isinstance(raised, NotImplementedError):
            raise
        raise AssertionError(f"{advice} ({type(raised).__name__}: {raised})") from raised


def check_tensor(what, value):
    """Assert that an answer is a tensor."""
    assert value is not None, f"{what} is None: is there a return?"
    assert torch.is_tensor(value), f"{what} must be a tensor, yours is of type {type(value).__name__}"


PER_IMAGE = "each image has a t of its own: per_image(..., x) gives its coefficients the shape that multiplies x, and an `if` on t can't work"


def check_one_t_for_each_image(what, step):
    """Assert that `step(x_t)` runs on four images and keeps their shape, where each has its own t."""
    few = normal(4, 1, 2, 2)
    with advising(RuntimeError, PER_IMAGE):
        got = step(few)
    check_tensor(what, got)
    assert got.shape == few.shape, f"{what} must have shape {tuple(few.shape)}, like x_t, yours has {tuple(got.shape)}"


def check_unchanged(what, x, call):
    """The answer of `call(x)`, after asserting that it left x as it was."""
    before = x.clone()
    got = call(x)
    assert torch.equal(x, before), f"{what} changes the tensor that it is given: make a new one"
    return got


def check_refused(what, call):
    """Assert that a call with wrong arguments raises ValueError."""
    try:
        call()
    except ValueError:
        return
    raise AssertionError(what)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def made_of(cls, **attributes):
    """An instance of the learner's class with these attributes, whatever its `__init__` does."""
    instance = cls.__new__(cls)
    vars(instance).update(attributes)
    return instance


BETAS = torch.tensor(
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], dtype=torch.float64
)  # short, so that mistakes are large


def numbers(betas=BETAS):
    """T, and beta, alpha, alpha bar and SNR for t = 0..T, by their definitions."""
    b = torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    bars = torch.stack([(1 - b[: t + 1]).prod() for t in range(len(b))])
    return SimpleNamespace(T=len(betas), betas=b, alphas=1 - b, alpha_bars=bars, snr=bars / (1 - bars))


def schedule_of(lib, betas=BETAS):
    """A schedule with the right numbers, of the learner's class where `lib` has it (its other methods are the reference's)."""
    return made_of(lib.NoiseSchedule, **vars(numbers(betas)))


def column(values):
    return values.reshape(-1, 1)


def draws_alike(what, draw):
    """Assert that `draw(generator)` gives the same for the same seed and something else for another."""
    one, again, other = draw(seeded(5)), draw(seeded(5)), draw(seeded(6))
    assert torch.equal(one, again), f"{what} differs from call to call with the same seed: pass the generator on"
    assert not torch.equal(one, other), f"{what} is the same for every seed: draw its noise from the generator"


class Recorder(torch.nn.Module):
    """A model that is a plain formula of x_t and t, and remembers how it was called."""

    def __init__(self, formula):
        super().__init__()
        self.formula, self.times, self.inputs, self.modes, self.grads = formula, [], [], [], []

    def forward(self, x_t, t):
        assert not torch.as_tensor(t).is_floating_point(), (
            "the model is called as model(x_t, t), with t itself, a whole number"
        )
        self.times.append(torch.as_tensor(t).flatten().tolist())
        self.inputs.append(x_t)
        self.modes.append(self.training)
        self.grads.append(torch.is_grad_enabled())
        return self.formula(x_t, column(torch.as_tensor(t).to(x_t)))


def reference_schedule(lib, betas=BETAS):
    """A whole schedule of the reference's class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lib.reference["schedule"].NoiseSchedule(betas)
