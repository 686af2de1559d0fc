"""Saying which mistake an answer holds: it is compared with the right value and with what each known mistake would give.

The exercises of the notebooks, the check cells of a learner's workspace (`check("noise_step")`) and the grader use it. A mistake
is a sentence that says what went wrong; the value beside it is what that mistake produces, computed, so that a diagnosis is a
measurement. What is checked, and which mistakes are known, stands in `checks/`, in a file for each notebook.
"""

import importlib
import inspect
import io
import linecache
import math
import sys
import textwrap
import traceback
import warnings
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace
from unittest.mock import patch

import torch

from course.export import kernel_texts
from course.lessons import ROOT, checks_of, module_defining, modules, notebook_of, notebooks


def as_numbers(value):
    """A number, list or tensor as a float64 CPU tensor."""
    return torch.as_tensor(value).detach().cpu().to(torch.float64)


def short(value):
    return f"{float(value):.4g}"


def same(got, right, tolerance):
    """Whether two values have one shape and agree; NaN agrees with nothing."""
    got, right = as_numbers(got), as_numbers(right)
    return got.shape == right.shape and torch.allclose(got, right, rtol=tolerance, atol=tolerance)


def difference(got, right, tolerance):
    """ "yours is 0.02 where 0.1414 belongs: ", at the place where two answers of one shape differ most; else ""."""
    if got.shape != right.shape or not got.numel():
        return ""
    k = (got - right).abs().nan_to_num(math.inf, math.inf).argmax()
    digits = 4 if not same(got, right, max(1e-2, tolerance)) else 7
    return f"yours is {got.flatten()[k]:.{digits}g} where {right.flatten()[k]:.{digits}g} belongs: "


def assert_close(what, got, right, mistakes=None, tolerance=1e-6, hint=""):
    """Assert that `got` is `right`, numbers or tensors, within `tolerance`; `what` names the value in the message.

    `mistakes` maps a sentence to the value which that mistake gives; when `got` is one of these, the sentence is the message.
    Any other wrong value is measured, and `hint` says where to look.
    """
    assert got is not None, f"{what} is None: is there a return?"
    if same(got, right, tolerance):
        return
    got, right = as_numbers(got), as_numbers(right)
    for mistake, value in (mistakes or {}).items():
        assert not same(got, value, tolerance), f"{what}: {difference(got, right, tolerance)}{mistake}"
    hint = f": {hint}" if hint else ""
    shapes = f"should have shape {tuple(right.shape)}, yours has {tuple(got.shape)}"
    assert got.shape == right.shape, f"{what} {shapes}{hint}"
    assert torch.isfinite(got).all(), f"{what}: NaN or infinity in it{hint}"
    worst = (got - right).abs().argmax()
    place = f" at index {tuple(int(i) for i in torch.unravel_index(worst, got.shape))}" if got.ndim else ""
    belongs, yours = right.flatten()[worst], got.flatten()[worst]
    digits = 4 if short(belongs) != short(yours) else 10
    raise AssertionError(f"{what} should be {belongs:.{digits}g}{place}, yours is {yours:.{digits}g}{hint}")


def assert_moments(what, drawn, mean, variance, mistakes=None):
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


@dataclass
class Piece:
    """A piece of the library that a learner writes anew."""

    name: str  # "noise_step", or "NoiseSchedule.posterior" for a method
    hint: str
    blank: slice  # which statements of the body, after the docstring, the learner writes
    check: object  # called with `lib`, the names of the learner's module, in which every other piece is the reference's
    module: str = ""


def piece(name, hint, blank=slice(None)):
    """Make the function below the check of a piece of this file's notebook."""

    def mark(check):
        check.piece = Piece(name, hint, blank, check)
        return check

    return mark


@lru_cache(maxsize=1)
def pieces():
    """All pieces by name, in the order of the notebooks."""
    found = {}
    for notebook in filter(modules, notebooks()):
        for check in vars(checks_of(notebook.stem) or object).values():
            if isinstance(one := getattr(check, "piece", None), Piece):
                found[one.name] = replace(one, module=module_defining(notebook, one.name))
    return found


def graded_modules():
    """The modules that hold a piece, in the order of the notebooks."""
    return list(dict.fromkeys(piece.module for piece in pieces().values()))


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


@contextmanager
def silent(what):
    """Assert that nothing shows a progress bar, where progress=False."""
    with redirect_stderr(io.StringIO()) as shown:
        yield
    assert not shown.getvalue(), (
        f"{what} shows a progress bar although progress=False: pass it on, disable=not progress"
    )


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


def load_library(root):
    """The modules of the `ddpm_lib` in the folder `root`, by name, loaded beside any other that is imported already."""
    outside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "ddpm_lib"}
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        return {name: importlib.import_module(f"ddpm_lib.{name}") for name in graded_modules()}
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.split(".")[0] == "ddpm_lib"]:
            del sys.modules[name]
        sys.modules |= outside


@lru_cache(maxsize=1)
def reference():
    """The clone's own library."""
    return load_library(ROOT)


def find(name, names):
    """`(owner, attribute)` of a piece among these names: (names, "noise_step") or (the class, "posterior"); None if absent."""
    owner, _, method = name.rpartition(".")
    if not owner:
        return (names, name) if callable(names.get(name)) else None
    cls = names.get(owner)
    return (cls, method) if isinstance(cls, type) and hasattr(cls, method) else None


def function_of(name, names):
    """The function that a piece is among these names, undecorated; None if it is not there."""
    place = find(name, names)
    return place and inspect.unwrap(names[name] if place[0] is names else getattr(*place))


def right_answer(name):
    """The reference's own function for a piece."""
    owner, attribute = find(name, vars(reference()[pieces()[name].module]))
    return (owner if isinstance(owner, dict) else vars(owner))[attribute]


@contextmanager
def others_right(name, spaces):
    """For a while every piece but this one is the reference's, wherever one of these namespaces holds it."""
    with ExitStack() as stack:
        for other in pieces():
            for names in spaces if other != name else ():
                place = find(other, names)
                if place and isinstance(place[0], dict):
                    stack.enter_context(patch.dict(names, {other: right_answer(other)}))
                elif place:
                    stack.enter_context(patch.object(*place, right_answer(other)))
        yield


class Blank(Exception):
    """The piece, or one that it needs, has not been written yet."""


def where(error):
    """The learner's line in which an error arose."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    not_theirs = (*(str(ROOT / folder) for folder in ("course", "checks", "ddpm_lib")), "<")
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(not_theirs)]
    return f", at `{own[-1].line}`" if own and own[-1].line else ""


def advice(error):
    """What to add to an error's message where a workspace is what brings it about."""
    if isinstance(error, NameError):
        return ": beside its arguments there is only what cells that begin with `#| export` define or import"
    if isinstance(error, AttributeError) and type(error.obj).__name__ == "NoiseSchedule":
        return ": a schedule has T, betas, alphas, alpha_bars and snr, and no more"
    return ""


def check_arguments(name, function):
    """Assert that a piece takes the arguments of the reference, which other notebooks call by name."""
    right = inspect.signature(inspect.unwrap(right_answer(name)))
    yours = inspect.signature(function)
    assert list(yours.parameters) == list(right.parameters), f"its arguments must be {right}, yours are {yours}"


def check_piece(name, spaces):
    """Check one piece, found in the first of these namespaces. Raises AssertionError that names the mistake, or Blank."""
    piece, function = pieces()[name], function_of(name, spaces[0])
    assert function, f"{name} is missing: the cell that defines it must begin with `#| export`"
    check_arguments(name, function)
    lib = SimpleNamespace(**spaces[0], reference=reference())
    random = torch.random.get_rng_state()
    try:
        with others_right(name, spaces):
            lib.__dict__.update({k: v for k, v in spaces[0].items() if k in pieces()})
            piece.check(lib)
    except AssertionError:
        raise
    except NotImplementedError as error:
        if "yours to write" not in str(error):
            raise AssertionError(f"{name} raises NotImplementedError: {error}{where(error)}") from error
        raise Blank(str(error)) from error
    except Exception as error:
        said = f"{name} raises {type(error).__name__}: {error}{where(error)}{advice(error)}"
        raise AssertionError(said) from error
    finally:
        torch.random.set_rng_state(random)


def as_exported(name):
    """The names of the module of a piece, as the last cell of its notebook would export it from this kernel."""
    module = pieces()[name].module
    [(path, text)] = [item for item in kernel_texts(notebook_of()[module].stem).items() if item[0].stem == module]
    shown, names = f"{path.name}, not exported yet", {"__name__": f"ddpm_lib.{module}"}
    linecache.cache[shown] = len(text), None, text.splitlines(keepends=True), shown  # so that `where` finds the line
    exec(compile(text, shown, "exec"), names)
    return names


def check(name):
    """In a notebook: say whether the piece of this name is right, and else which mistake it holds."""
    modules = [vars(module) for key, module in sys.modules.items() if key.startswith("ddpm_lib.")]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            check_piece(name, [as_exported(name), *modules])
        verdict = "right"
    except Blank:
        verdict = "still blank: your lines take the place of its `raise NotImplementedError`, in a cell that begins with `#| export`. Run that, then this"
    except (AssertionError, SyntaxError) as error:
        verdict = f"not yet, {error}"
    except Exception as error:
        verdict = f"the cells that begin with `#| export` do not run together: {type(error).__name__}: {error}"
    print(textwrap.fill(f"{name}: {verdict}", 95))
    if printed.getvalue():
        print("(What it prints while it is checked is not shown.)")
