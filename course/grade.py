"""The grader, a pytest plugin: in a learner's workspace each module of ddpm_lib is collected as a file of pieces.

Each piece is tried alone, from the text of its file. Once all pieces are right that a test file of the project needs, that file
runs on the workspace's library, too, in a process of its own. The session ends with 0 only when everything is done.
"""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from course.check import Blank, Wrong, pieces, try_piece
from course.lessons import ROOT, notebook_of

MODULES = list(dict.fromkeys(module for _, module in pieces().values()))
TESTS = {f"tests/library/test_{module}.py": module for module in MODULES}


class PieceItem(pytest.Item):
    """One piece."""

    def runtest(self):
        _, module = pieces()[self.name]
        try:
            try_piece(self.name, self.path.read_text(encoding="utf-8"))
        except Blank:
            notebook = self.config.rootpath / "notebooks" / notebook_of()[module].name
            if notebook.exists() and f"{self.name} is yours to write" not in notebook.read_text(encoding="utf-8"):
                raise Wrong(f"it is written in {notebook.name}, but not exported: run that notebook's last cell") from None
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
        missing = [name for name, (_, module) in pieces().items() if module in needed and verdicts.get(name) != "right"]
        if missing:
            raise Waiting(f"it needs {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
        workspace = self.config.rootpath.resolve()
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(workspace / "pytest.ini"), f"--rootdir={workspace}"]
        command += ["-rf", "-p", "no:cacheprovider", "--override-ini=addopts=", str(ROOT / self.name)]
        env = os.environ | {"DDPM_WORKSPACE": str(workspace)}
        done = subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True)
        last = (done.stdout.strip() or done.stderr.strip()).split("\n")
        failed = [line for line in last if line.startswith(("FAILED", "ERROR"))]
        if done.returncode:
            raise Wrong(failed[0] if failed else last[-1])

    def repr_failure(self, excinfo):
        return str(excinfo.value)


class Module(pytest.File):
    """A module of the workspace's library: its pieces, and the project's tests of it."""

    def collect(self):
        for name, (_, module) in pieces().items():
            if module == self.path.stem:
                yield PieceItem.from_parent(self, name=name)
        if (ROOT / f"tests/library/test_{self.path.stem}.py").exists():
            yield ProjectItem.from_parent(self, name=f"tests/library/test_{self.path.stem}.py")


def pytest_collect_file(file_path, parent):
    if file_path.parent == parent.config.rootpath / "ddpm_lib" and file_path.stem in MODULES:
        return Module.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(items):
    """In the order of the notebooks; the project's tests after all pieces. Nothing else counts here."""
    order = [*pieces(), *TESTS]
    items[:] = sorted((item for item in items if isinstance(item, (PieceItem, ProjectItem))), key=lambda item: order.index(item.name))


verdicts, messages = {}, {}  # by the names of pieces and of the project's test files


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and isinstance(item, (PieceItem, ProjectItem)):
        error = call.excinfo and call.excinfo.value
        kinds = {type(None): "right", Blank: "blank", Waiting: "waiting"}
        report.verdict = verdicts[item.name] = kinds.get(type(error), "wrong")
        messages[item.name] = str(error or "")
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
        names = [name for name, (_, home) in pieces().items() if home == module]
        if lines := list(listing([*names, f"tests/library/test_{module}.py"])):
            write(f"{notebook_of()[module].stem} -> ddpm_lib/{module}.py")
            for line in lines:
                write(line)
    done = f"{sum(verdicts.get(name) == 'right' for name in pieces())} of {len(pieces())} pieces"
    following = next((name for name in pieces() if verdicts.get(name) != "right"), None)
    write("")
    if not verdicts:
        write("Nothing was graded: no piece was selected, or ddpm_lib/ is empty (`make exercises` writes what is missing).")
    elif following:
        check, module = pieces()[following]
        write(f"{done}, next: {following}")
        for line in textwrap.wrap(f"Hint: {check.hint}", 110):
            write(f"  {line}")
        write(f"  Write it in notebooks/{notebook_of()[module].name}, run its cell and the notebook's last cell, and grade again.")
    elif not finished():
        write(f"{done}; the project's tests have something to say, see above")
    else:
        write(f"{done}, and the project's own tests pass on them: the library is yours.")


def finished():
    return all(verdicts.get(name) == "right" for name in (*pieces(), *TESTS))


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and not finished():
        session.exitstatus = 1
