"""Judging one piece of a learner's library by itself: every other piece is the reference's while its check runs.

In a notebook of the workspace: `from tools.judge import check`, then `check(noise_step)`. For the whole library: tools/grade.py.
"""

import importlib
import inspect
import sys
import textwrap
import traceback
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch.nn import functional as F

from tools import checks_core, checks_later  # noqa: F401  they register the pieces, in the order of the notebooks
from tools.pieces import NOTEBOOKS, PIECES

CLONE = Path(__file__).resolve().parent.parent


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


def upsample(self, x):
    """The reference's `Upsample.forward`, whose `super()` would refuse an object of another class."""
    return self._conv_forward(F.interpolate(x, scale_factor=2, mode="nearest"), self.weight, self.bias)


def right_answer(name):
    """The reference's own function for a piece."""
    owner, attribute = find(name, vars(reference()[PIECES[name].module]))
    return (
        upsample
        if name == "Upsample.forward"
        else (owner[attribute] if isinstance(owner, dict) else vars(owner)[attribute])
    )


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


def judge(name, spaces):
    """Check one piece, found in the first of these namespaces. Raises AssertionError that names the mistake, or Blank."""
    piece = PIECES[name]
    assert find(name, spaces[0]), f"{name} is missing: the cell that defines it has not run, or was renamed"
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
        raise AssertionError(f"{name} raises {type(error).__name__}: {error}{where(error)}") from error
    finally:
        torch.random.set_rng_state(random)


def check(answer):
    """In a notebook: say whether this piece, a function or a method, is right, and else which mistake it holds."""
    function = inspect.unwrap(answer)
    name = function.__qualname__
    modules = [vars(module) for key, module in sys.modules.items() if key.startswith("ddpm_lib.")]
    try:
        judge(name, [function.__globals__, *modules])
        print(f"{name}: right")
    except Blank:
        print(f"{name} is still blank: fill the cell above, run it, then this one")
    except AssertionError as error:
        print(textwrap.fill(f"{name}: not yet, {error}", 95))
