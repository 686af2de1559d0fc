"""The grader, a pytest plugin: in a learner's workspace each module of ddpm_lib is collected as a file of pieces.

A piece counts when its check passes and what ran was the learner's own code. Once all pieces are right that a test file of the
project needs, that file runs too, in a process of its own. The session ends with 0 only when everything is done.

PYTEST_DONT_REWRITE: the messages of its asserts are for learners, and say enough.
"""

import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest

from course.check import Blank, check_piece, function_of, graded_modules, pieces, reference
from course.lessons import ROOT, notebook_of

PIECES, MODULES = pieces(), graded_modules()
FORBIDDEN = [ROOT / "ddpm_lib", ROOT / "notebooks", ROOT / "build"]  # where the answers are
TESTS = {f"tests/library/test_{module}.py": module for module in MODULES}
watching, touched = [], []


def audit(event, arguments):
    """While learners' code is loaded or runs: note what it opens of the clone's, and the programs that it starts."""
    if not watching or event not in ("open", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        return
    if event != "open":
        touched.append(f"starts another program ({event})")
    elif isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = Path(os.path.realpath(os.fsdecode(arguments[0])))
        if any(path.is_relative_to(folder) for folder in FORBIDDEN):
            touched.append(f"reads {path}")


def called_by_us(frame):
    """Whether a function was called by a check or by the reference itself, and not by the learner's code."""
    caller = frame.f_back
    while "site-packages" in caller.f_code.co_filename:  # torch's decorators
        caller = caller.f_back
    return Path(caller.f_code.co_filename).parent in (Path(__file__).parent, ROOT / "checks", ROOT / "ddpm_lib")


@contextmanager
def watched(what, forbidden_code=None):
    """Fail where learners' code reads the reference library or runs `forbidden_code`, a code object of it."""

    def profile(frame, event, _):
        if event == "call" and frame.f_code is forbidden_code and not called_by_us(frame):
            touched.append(f"runs {forbidden_code.co_qualname} of {forbidden_code.co_filename}")

    touched.clear()
    watching.append(what)
    before = sys.getprofile()
    if forbidden_code:
        sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
        watching.clear()
        assert not touched, f"{what} {touched[0]}: the reference library can't stand in for yours"


def code_in(path, name):
    """The code object of a piece, as the text of its file compiles to it."""
    codes = [compile(path.read_text(encoding="utf-8"), str(path), "exec")]
    for code in codes:
        codes.extend(const for const in code.co_consts if inspect.iscode(const))
    named = [code for code in codes if code.co_qualname == name]
    return max(named, key=lambda code: code.co_firstlineno, default=None)  # of two definitions the last one counts


def own_function(name, module, path):
    """Assert that a piece is the function whose text stands in the workspace's file."""
    function = function_of(name, vars(module))
    assert function, f"{name} is missing from {path.name}: its cell must begin with `#| export`, then run the last cell"
    code = getattr(function, "__code__", None)
    source = getattr(code, "co_filename", "elsewhere")
    assert source and Path(source).resolve() == path, f"{name} comes from {source}, not from {path}"
    assert code == code_in(path, name), f"{name} is not the function that {path.name} defines under that name"


@lru_cache(maxsize=1)
def import_workspace(workspace):
    """Import all modules of the workspace's ddpm_lib, watched. Returns (modules, what went wrong), both by name."""
    reference()  # loaded before anyone watches
    sys.path.insert(0, str(workspace))
    modules, errors = {}, {}
    for name in MODULES:
        try:
            with watched(f"{name}.py"):
                modules[name] = importlib.import_module(f"ddpm_lib.{name}")
            came_from = Path(modules[name].__file__).resolve()
            assert came_from == workspace / "ddpm_lib" / f"{name}.py", (
                f"ddpm_lib.{name} comes from {came_from}, not from this workspace"
            )
        except AssertionError as error:
            errors[name] = str(error)
        except (Exception, SystemExit) as error:
            errors[name] = f"{name}.py can't be imported: {type(error).__name__}: {error}"
    return modules, errors


class PieceItem(pytest.Item):
    """One piece."""

    def runtest(self):
        piece, workspace = PIECES[self.name], self.config.rootpath.resolve()
        modules, errors = import_workspace(workspace)
        assert piece.module not in errors, errors[piece.module]
        path = workspace / "ddpm_lib" / f"{piece.module}.py"
        own_function(piece.name, modules[piece.module], path)
        right = function_of(piece.name, vars(reference()[piece.module]))
        spaces = [vars(modules[piece.module]), *(vars(module) for module in modules.values())]
        try:
            with watched(piece.name, right.__code__):
                check_piece(piece.name, spaces)
        except Blank:
            notebook = workspace / "notebooks" / notebook_of()[piece.module].name
            written = notebook.exists() and f"{piece.name} is yours to write" not in notebook.read_text(
                encoding="utf-8"
            )
            assert not written, f"it is written in {notebook.name}, but not exported: run that notebook's last cell"
            raise

    def repr_failure(self, excinfo):
        return str(excinfo.value)


def modules_needed(test):
    """The modules that a test file of the project imports, and those that they import."""
    needed, texts = set(), [(ROOT / test).read_text(encoding="utf-8")]
    for text in texts:
        for name in set(re.findall(r"ddpm_lib\.(\w+)", text)) & set(MODULES) - needed:
            needed.add(name)
            texts.append((ROOT / "ddpm_lib" / f"{name}.py").read_text(encoding="utf-8"))
    return needed


class Waiting(Exception):
    """A test file of the project waits for pieces that are not right yet."""


class ProjectItem(pytest.Item):
    """The project's own tests of one module, run on the workspace's library once its pieces are right."""

    def runtest(self):
        needed = modules_needed(self.name)
        missing = [p.name for p in PIECES.values() if p.module in needed and verdicts.get(p.name) != "right"]
        if missing:
            raise Waiting(f"it needs {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
        workspace = self.config.rootpath.resolve()
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(workspace / "pytest.ini"), f"--rootdir={workspace}"]
        command += ["-rf", "-p", "no:cacheprovider", "--override-ini=addopts=", str(ROOT / self.name)]
        done = subprocess.run(
            command, cwd=workspace, env=os.environ | {"DDPM_WORKSPACE": str(workspace)}, capture_output=True, text=True
        )
        last = (done.stdout.strip() or done.stderr.strip()).split("\n")
        failed = [line for line in last if line.startswith(("FAILED", "ERROR"))]
        assert done.returncode == 0, failed[0] if failed else last[-1]

    def repr_failure(self, excinfo):
        return str(excinfo.value)


class Module(pytest.File):
    """A module of the workspace's library: its pieces, and the project's tests of it."""

    def collect(self):
        for piece in PIECES.values():
            if piece.module == self.path.stem:
                yield PieceItem.from_parent(self, name=piece.name)
        yield ProjectItem.from_parent(self, name=f"tests/library/test_{self.path.stem}.py")


def pytest_collect_file(file_path, parent):
    if file_path.parent == parent.config.rootpath / "ddpm_lib" and file_path.stem in MODULES:
        return Module.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(items):
    """In the order of the notebooks; the project's tests after all pieces. Nothing else counts here."""
    items[:] = [item for item in items if isinstance(item, (PieceItem, ProjectItem))]
    order = [*PIECES, *TESTS]
    items.sort(key=lambda item: order.index(item.name))


verdicts, messages = {}, {}  # by the names of pieces and of the project's test files


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and isinstance(item, (PieceItem, ProjectItem)):
        error = call.excinfo and call.excinfo.value
        kinds = {type(None): "right", Blank: "blank", Waiting: "waiting"}
        verdicts[item.name] = kinds.get(type(error), "wrong")
        messages[item.name] = str(error or "")
        report.verdict = verdicts[item.name]
    return report


def pytest_report_teststatus(report):
    if hasattr(report, "verdict"):  # tests that wait are not counted at all
        letter = {"right": ".", "wrong": "x", "blank": "-"}.get(report.verdict, "")
        return report.verdict if letter else "", letter, report.verdict.upper()


def listing(names):
    """The verdicts of some pieces and of the project's tests as lines: the blank ones together."""
    blanks = [name for name in names if verdicts.get(name) == "blank"]
    for name in names:
        if verdicts.get(name) == "right":
            yield f"  right  {name}"
        elif verdicts.get(name) == "wrong":
            yield from textwrap.wrap(
                f"{name}: {messages[name]}", 110, initial_indent="  WRONG  ", subsequent_indent=" " * 9
            )
    if verdicts.get(names[-1]) == "waiting" and all(verdicts.get(name) == "right" for name in names[:-1]):
        yield f"  waits  {names[-1]}: {messages[names[-1]]}"
    if blanks:
        yield from textwrap.wrap(", ".join(blanks), 110, initial_indent="  blank  ", subsequent_indent=" " * 9)


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    write("")
    for module in MODULES:
        lines = list(
            listing([*(p.name for p in PIECES.values() if p.module == module), f"tests/library/test_{module}.py"])
        )
        if lines:
            write(f"{notebook_of()[module].stem} -> ddpm_lib/{module}.py")
            for line in lines:
                write(line)
    done = [name for name in PIECES if verdicts.get(name) == "right"]
    following = next((piece for name, piece in PIECES.items() if verdicts.get(name) != "right"), None)
    write("")
    if not verdicts:
        write(
            "Nothing was graded: no piece was selected, or ddpm_lib/ is empty (`make exercises` writes what is missing)."
        )
    elif following:
        write(f"{len(done)} of {len(PIECES)} pieces, next: {following.name}")
        for line in textwrap.wrap(f"Hint: {following.hint}", 110):
            write(f"  {line}")
        write(
            f"  Write it in notebooks/{notebook_of()[following.module].name}, run its cell and the notebook's last cell, and grade again."
        )
    elif not finished():
        write(f"{len(done)} of {len(PIECES)} pieces; the project's tests have something to say, see above")
    else:
        write(f"{len(done)} of {len(PIECES)} pieces, and the project's own tests pass on them: the library is yours.")


def finished():
    return all(verdicts.get(name) == "right" for name in (*PIECES, *TESTS))


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and not finished():
        session.exitstatus = 1


sys.addaudithook(audit)
