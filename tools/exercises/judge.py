"""Judging one piece of a learner's library by itself: every other piece is the reference's while its check runs.

In a notebook of the workspace: `from tools.exercises.judge import check`, then `check("noise_step")`. For the whole library: tools/exercises/grade.py.
"""

import importlib
import inspect
import io
import linecache
import sys
import textwrap
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch.nn import functional as F

from tools.exercises import checks_01_to_05, checks_06_to_09  # noqa: F401  they register the pieces, in the order of the notebooks
from tools.exercises.pieces import NOTEBOOKS, PIECES
from tools.export import kernel_texts

CLONE = Path(__file__).resolve().parent.parent.parent


def load_library(root):
    """The modules of the `ddpm_lib` in the folder `root`, by name, loaded beside any other that is imported already."""
    outside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "ddpm_lib"}
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        return {name: importlib.import_module(f"ddpm_lib.{name}") for name in NOTEBOOKS}
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.split(".")[0] == "ddpm_lib"]:
            del sys.modules[name]
        sys.modules |= outside


@lru_cache(maxsize=1)
def reference():
    """The clone's own library."""
    return load_library(CLONE)


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


def upsample(self, x):
    """The reference's `Upsample.forward`, whose `super()` would refuse an object of another class."""
    return self._conv_forward(F.interpolate(x, scale_factor=2, mode="nearest"), self.weight, self.bias)


def right_answer(name):
    """The reference's own function for a piece."""
    if name == "Upsample.forward":
        return upsample
    owner, attribute = find(name, vars(reference()[PIECES[name].module]))
    return (owner if isinstance(owner, dict) else vars(owner))[attribute]


@contextmanager
def others_right(name, spaces):
    """For a while every piece but this one is the reference's, wherever one of these namespaces holds it."""
    with ExitStack() as stack:
        for other in PIECES:
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
    not_theirs = (str(CLONE / "tools"), str(CLONE / "ddpm_lib"), "<")
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


def judge(name, spaces):
    """Check one piece, found in the first of these namespaces. Raises AssertionError that names the mistake, or Blank."""
    piece, function = PIECES[name], function_of(name, spaces[0])
    assert function, f"{name} is missing: the cell that defines it must begin with `#| export`"
    check_arguments(name, function)
    lib = SimpleNamespace(**spaces[0], reference=reference())
    random = torch.random.get_rng_state()
    try:
        with others_right(name, spaces):
            lib.__dict__.update({k: v for k, v in spaces[0].items() if k in PIECES})
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
    module = PIECES[name].module
    [(path, text)] = [item for item in kernel_texts(NOTEBOOKS[module]).items() if item[0].stem == module]
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
            judge(name, [as_exported(name), *modules])
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
