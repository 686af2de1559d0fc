"""Saying which mistake an answer holds: it is tried beside the right answer, and beside the right answer with each known mistake.

`checks/NN_name.py` holds, for each piece of the library that a learner writes and each exercise of notebook NN, a probe: a function
that tries an answer and returns what came out, by name. A mistake is an edit of the right answer and a sentence that says what went
wrong. Only after a wrong answer the edits are made and tried: the one with which the same comes out is named. In a notebook:

    check = checks_for("01_forward_diffusion")
    check(exercise_1)
    check("noise_step")
"""

import ast
import functools
import importlib
import io
import linecache
import math
import re
import sys
import textwrap
import traceback
import types
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from course.export import kernel_texts
from course.lessons import ROOT, cells_of, checks_of, locate, module_defining, modules, notebooks

# what came out


@dataclass
class Moments:
    """Mean and variance of many draws; two of them are alike within five standard errors of either."""

    mean: float
    variance: float
    count: int

    def near(self, other):
        error = 5 * (self.variance / self.count) ** 0.5 + 1e-6
        close = abs(self.mean - other.mean) <= error
        return close and abs(self.variance - other.variance) <= 5 * self.variance * (2 / self.count) ** 0.5 + 1e-6

    def __str__(self):
        return f"mean {self.mean:.4g} and variance {self.variance:.4g}"


def moments(drawn):
    """What is compared of random numbers."""
    assert torch.is_tensor(drawn), f"yours is of type {type(drawn).__name__} where a tensor belongs"
    drawn = as_numbers(drawn)
    return Moments(drawn.mean().item(), drawn.var().item(), drawn.numel())


def raised(call, *arguments, **named):
    """The kind of error that a call raises, as a string: "no error" is an answer, too."""
    try:
        call(*arguments, **named)
    except Exception as error:
        return type(error).__name__
    return "no error"


def as_numbers(value):
    """A number, list or tensor as a float64 CPU tensor."""
    return value.detach().cpu().double() if torch.is_tensor(value) else torch.as_tensor(value, dtype=torch.float64)


def has_shape(value):
    """Whether this is a tensor of more than one number: a tensor of one number may be given as a number."""
    return torch.is_tensor(value) and value.ndim > 0


def same(got, right, tolerance=1e-6):
    """Whether two outcomes agree: moments within their errors, numbers and tensors of one shape within `tolerance`, all else exactly."""
    if isinstance(right, Moments) and isinstance(got, Moments):
        return right.near(got) or got.near(right)
    if has_shape(right) != has_shape(got):
        return False
    try:
        got, right = as_numbers(got), as_numbers(right)
    except (TypeError, ValueError, RuntimeError):
        return type(got) is type(right) and got == right
    return got.shape == right.shape and torch.allclose(got, right, rtol=tolerance, atol=tolerance, equal_nan=True)


def difference(got, right):
    """"yours is 0.02 where 0.1414 belongs", at the place where the two differ most, or by shape or kind."""
    if has_shape(right) and not torch.is_tensor(got):
        return f"yours is of type {type(got).__name__} where a tensor belongs"
    try:
        got, right = as_numbers(got), as_numbers(right)
    except (TypeError, ValueError, RuntimeError):
        return f"yours is {got} where {right} belongs"
    if got.shape != right.shape:
        return f"yours has shape {tuple(got.shape)} where {tuple(right.shape)} belongs"
    k = (got - right).abs().nan_to_num(math.inf, math.inf).argmax()
    at = f" at index {tuple(int(i) for i in torch.unravel_index(k, got.shape))}" if got.ndim else ""
    digits = 4 if f"{got.flatten()[k]:.4g}" != f"{right.flatten()[k]:.4g}" else 10
    return f"yours is {got.flatten()[k]:.{digits}g}{at} where {right.flatten()[k]:.{digits}g} belongs"


def kind(value):
    """The dtype of a tensor, the name of any other type: part of what comes out."""
    return str(value.dtype) if torch.is_tensor(value) else type(value).__name__


BETAS = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], dtype=torch.float64)  # few and large: mistakes are large


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def twice(call):
    """Whether a call gives the same again, as it must where it draws with one seed."""
    return "one result" if same(call(), call()) else "two results"


# what a checks file holds


@dataclass
class Mistake:
    """An edit of the right answer, or a whole other answer (`old` is None), and the sentence that names it."""

    old: str | None
    new: str
    says: str

    def apply(self, source):
        """The right answer's source with this mistake in it; the edit must apply exactly once."""
        if self.old is None:
            return textwrap.dedent(self.new).strip("\n")
        assert source.count(self.old) == 1, f"{self.old!r} stands {source.count(self.old)} times in\n{source}"
        return source.replace(self.old, self.new)


@dataclass
class Check:
    """How one piece ("noise_step", "NoiseSchedule.posterior") or exercise ("exercise_1") of a lesson is tried."""

    name: str
    probe: object  # called with the names of the library, or with the answer and the names of the notebook; returns outcomes by name
    hint: str = ""
    tolerance: float = 1e-6
    mistakes: list = field(default_factory=list)


class Checks(dict):
    """All checks of a lesson, by name: what `checks/NN_name.py` fills."""

    def piece(self, name, hint, tolerance=1e-6):
        """Make the function below the probe of a piece: it is called with `lib`, in which all but this piece is the reference's."""
        return self.probe(name, hint, tolerance)

    def exercise(self, number, tolerance=1e-6):
        """Make the function below the probe of an exercise: it is called with the answer and the notebook's names."""
        return self.probe(f"exercise_{number}", "", tolerance)

    def probe(self, name, hint, tolerance):
        def register(function):
            self[name] = Check(name, function, hint, tolerance)
            return function

        return register

    def mistakes(self, name, edits):
        """Known mistakes of a piece or an exercise, each `(old, new, says)`: `old`, which stands once in the right answer in the style of
        `ast.unparse`, becomes `new`; where `old` is None, `new` is a whole other answer."""
        name = f"exercise_{name}" if isinstance(name, int) else name
        self[name].mistakes += [Mistake(*edit) for edit in edits]


def plain(node):
    """A function's source without docstring and comments, in one style: what a mistake's `old` is looked for in."""
    node = ast.parse(ast.unparse(node)).body[0]
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        node.body = node.body[1:]
    return ast.unparse(node)


# trying an answer


class Blank(Exception):
    """The answer, or one that it needs, has not been written yet."""


class Wrong(Exception):
    """The answer is wrong; the message says how."""


@dataclass
class Failure:
    """An outcome: the answer raised an error."""

    kind: str
    message: str
    place: str

    def __eq__(self, other):
        return isinstance(other, Failure) and (self.kind, self.message) == (other.kind, other.message)


def failure(error):
    """The outcome of an answer that raised an error: what, in which of its lines, and what is often behind it."""
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    own = [f for f in frames if f.filename.startswith("ddpm_lib/") or "ipykernel" in f.filename]
    line, advice = f", at `{own[-1].line}`" if own and own[-1].line else "", ""
    if isinstance(error, NameError) and own and own[-1].filename.startswith("ddpm_lib/"):
        advice = ": beside its arguments there is only what cells that begin with `#| export` define or import"
    elif isinstance(error, AttributeError) and type(error.obj).__name__ == "NoiseSchedule":
        advice = ": a schedule has T, betas, alphas, alpha_bars and snr, and no more"
    return Failure(type(error).__name__, str(error), line + advice)


def outcome_of(check, *arguments):
    """What a probe returns, by name; or what it found (an AssertionError is a verdict), or how the answer failed."""
    random = torch.random.get_rng_state()
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return check.probe(*arguments) or {}
    except Blank:
        raise
    except NotImplementedError as error:
        if "yours to write" in str(error):
            raise Blank(str(error)) from error
        return failure(error)
    except AssertionError as error:
        return Wrong(str(error))
    except Exception as error:
        return failure(error)
    finally:
        torch.random.set_rng_state(random)


def first_difference(got, right, tolerance):
    """The name of the first outcome that is not the right one; None if all are."""
    return next((what for what in right if what not in got or not same(got[what], right[what], tolerance)), None)


def agrees(got, other, tolerance, what=None):
    """Whether two answers come out alike; with `what`, in all outcomes up to this one."""
    if isinstance(got, dict) and isinstance(other, dict):
        names = list(other)[: list(other).index(what) + 1] if what in other else got.keys() | other.keys()
        return all(name in got and name in other and same(got[name], other[name], tolerance) for name in names)
    return what is None and type(got) is type(other) is Failure and got == other


def verdict(check, run, answer, right):
    """Raise Wrong, with the sentence of the mistake if it is a known one, unless `answer` comes out as `right` does.

    `run` tries a source: `run(check, source)` gives its outcome; `answer` and `right` are sources.
    """
    got = run(check, answer)
    if isinstance(got, Wrong):
        raise got
    expected = run(check, right)
    what = first_difference(got, expected, check.tolerance) if isinstance(got, dict) else None
    if isinstance(got, dict) and what is None:
        return
    if isinstance(got, Failure):
        said = f"it raises {got.kind}: {got.message}{got.place}"
    else:
        said = f"{what}: {difference(got[what], expected[what]) if what in got else 'it is missing'}"
    outcomes = [(mistake, run(check, mistake.apply(right))) for mistake in check.mistakes]
    for part in (None, what):  # a mistake alone; then one among others
        for mistake, other in outcomes:
            if agrees(got, other, check.tolerance, part):
                raise Wrong(f"{said}: {mistake.says}")
    raise Wrong(said)


# pieces


@contextmanager
def library_set_aside():
    """For a while no `ddpm_lib` is imported; afterwards it is the one that was before."""

    def imported():
        return [name for name in sys.modules if name.split(".")[0] == "ddpm_lib"]

    before = {name: sys.modules.pop(name) for name in imported()}
    try:
        yield
    finally:
        for name in imported():
            del sys.modules[name]
        sys.modules |= before


@lru_cache(maxsize=1)
def reference():
    """The modules of the clone's own library, by their names in `sys.modules`."""
    with library_set_aside():
        sys.path.insert(0, str(ROOT))
        try:
            for notebook in notebooks():
                for name in modules(notebook):
                    importlib.import_module(f"ddpm_lib.{name}")
        finally:
            sys.path.remove(str(ROOT))
        return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ddpm_lib"}


@lru_cache(maxsize=1)
def pieces():
    """The checks of all pieces by name, in the order of the notebooks, and the module of each: `{name: (check, module)}`."""
    found = {}
    for notebook in notebooks():
        for name, check in lesson(notebook.stem).items():
            if not name.startswith("exercise_"):
                found[name] = check, module_defining(notebook, name)
    return found


def text_of(module):
    """The reference's text of a module."""
    return (ROOT / "ddpm_lib" / f"{module}.py").read_text(encoding="utf-8")


def with_function(text, name, source):
    """A module's text with this source in place of the function of that name."""
    node, lines = locate(ast.parse(text), name), text.split("\n")
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines[first - 1 : node.end_lineno] = textwrap.indent(source, " " * node.col_offset).split("\n")
    return "\n".join(lines)


def library(module, text):
    """The names of the whole library, with a module of this text in the place of the reference's."""
    file = f"ddpm_lib/{module}.py"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    own, parts = types.ModuleType(f"ddpm_lib.{module}"), reference()
    with library_set_aside():
        sys.modules |= parts
        exec(compile(text, file, "exec"), vars(own))
    names = {}
    for part in parts.values():
        names |= vars(part)
    return types.SimpleNamespace(**(names | vars(own)))


def gives(function):
    """Whether a function gives something back."""
    found = [node for node in ast.walk(function) if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom))]
    return any(not isinstance(node, ast.Return) or node.value is not None for node in found)


def try_piece(name, text):
    """Raise Wrong or Blank unless the function `name` of a learner's module, whose text this is, does what the reference's does.

    It is tried alone: every other piece of the module is the reference's meanwhile.
    """
    check, module = pieces()[name]
    right = locate(ast.parse(text_of(module)), name)
    try:
        own = locate(ast.parse(text), name)
    except SyntaxError as error:
        raise Wrong(f"the cells that begin with `#| export` do not run together: {error}") from error
    if own is None:
        raise Wrong(f"{name} is missing: the cell that defines it must begin with `#| export`")
    if "yours to write" in ast.unparse(own):
        raise Blank(name)
    if ast.unparse(own.args) != ast.unparse(right.args):
        raise Wrong(f"its arguments must be ({ast.unparse(right.args)}), yours are ({ast.unparse(own.args)})")
    if gives(right) and not gives(own):
        raise Wrong("it gives nothing back: is there a return?")
    for other, (_, home) in pieces().items():
        if home == module and other != name and locate(ast.parse(text), other):
            text = with_function(text, other, ast.unparse(locate(ast.parse(text_of(module)), other)))

    def run(check, source):
        base = text if source is None else with_function(text_of(module), name, source)
        try:
            lib = library(module, base)
        except Exception as error:
            return failure(error)
        return outcome_of(check, lib)

    verdict(check, run, None, plain(right))


# exercises and notebooks


def solutions(notebook):
    """The folded solutions of a notebook's exercises, by name."""
    text = "\n".join("".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "markdown")
    found = re.findall(r"<summary>Solution (\d)</summary>\s*```python\n(.*?)```", text, re.DOTALL)
    return {f"exercise_{number}": source for number, source in found}


@lru_cache
def lesson(stem):
    """The `Checks` of the lesson of that name; empty if it has none."""
    return getattr(checks_of(stem), "checks", Checks())


class Notebook:
    """What `check` is in a notebook: called with an exercise's function or a piece's name, it says right or which mistake."""

    def __init__(self, stem):
        self.stem, self.checks = stem, lesson(stem)

    def __call__(self, answer):
        name = answer if isinstance(answer, str) else answer.__name__
        try:
            self.try_piece(name) if isinstance(answer, str) else self.try_exercise(answer)
            said = "right"
        except Blank:
            said = "still blank: your lines take the place of its `raise NotImplementedError`, in a cell that begins with `#| export`. Run that, then this"
            said = said if isinstance(answer, str) else "waiting for your answer"
        except Wrong as wrong:
            said = f"not yet: {wrong}"
        print(textwrap.fill(f"{name}: {said}", 95))

    def try_piece(self, name):
        _, module = pieces()[name]
        [text] = [text for path, text in kernel_texts(self.stem).items() if path.stem == module]
        try_piece(name, text)

    def try_exercise(self, answer):
        """Raise Wrong or Blank unless an exercise's function does what the folded solution does."""
        check, page = self.checks[answer.__name__], answer.__globals__
        notebook = next(path for path in notebooks() if path.stem == self.stem)
        right = plain(ast.parse(solutions(notebook)[check.name]).body[0])

        def run(check, source):
            function = given(answer) if source is None else function_of(source, check.name, page)
            return outcome_of(check, function, types.SimpleNamespace(**page))

        verdict(check, run, None, right)


def given(answer):
    """The answer to an exercise, where None means that there is none yet."""

    @functools.wraps(answer)
    def call(*arguments, **named):
        if (value := answer(*arguments, **named)) is None:
            raise Blank
        return value

    return call


def function_of(source, name, page):
    """The function that a source defines, as a cell of the page would."""
    names = dict(page)
    exec(compile(source, "answer", "exec"), names)
    return names[name]


checks_for = Notebook
