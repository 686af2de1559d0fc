"""Every notebook runs from top to bottom in a clean kernel, offline; its solutions are right, and each known mistake is named."""

import json

import nbformat
import pytest
from conftest import ROOT  # noqa: F401
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course.check import lesson, solutions
from course.execute import QUIET
from course.lessons import notebooks

TRY = """
import ast as _ast, json as _json
from course.check import Blank as _Blank, Wrong as _Wrong, function_of as _function_of, plain as _plain

def _told(check, source):
    try:
        check.try_exercise(_function_of(source, {name!r}, globals()))
        return "right"
    except (_Wrong, _Blank) as error:
        return str(error)

_check = check.checks[{name!r}]
_right = _plain(_ast.parse({solution!r}).body[0])
print(_json.dumps([_told(check, {solution!r})] + [_told(check, mistake.apply(_right)) for mistake in _check.mistakes]))
"""


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_notebook_runs_and_its_checks_tell_right_from_wrong(path, monkeypatch):
    notebook, solved = nbformat.read(path, as_version=4), solutions(path)
    exercises = {name: check for name, check in lesson(path.stem).items() if name.startswith("exercise_")}
    assert set(exercises) == set(solved) and all(len(check.mistakes) >= 2 for check in exercises.values())
    for name in exercises:
        notebook.cells.append(nbformat.v4.new_code_cell(TRY.format(name=name, solution=solved[name])))
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        pytest.fail(f"{path.name}: {str(error)[-3000:]}")
    for (name, check), cell in zip(exercises.items(), notebook.cells[len(notebook.cells) - len(exercises) :], strict=True):
        right, *told = json.loads(cell.outputs[0].text)
        assert right == "right", f"{name}: {right}"
        for mistake, said in zip(check.mistakes, told, strict=True):
            assert mistake.says in said, f"{name}, {mistake.says}: {said}"
