"""Every notebook runs from top to bottom in a clean kernel, offline; solutions pass their checks, wrong answers are named."""

import json
import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course.execute import QUIET
from course.lessons import is_appendix, notebooks

NOTEBOOKS = [notebook for notebook in notebooks() if not is_appendix(notebook)]
TRY = """
import json as _json
def _verdict(check, source):
    names = dict(globals())
    exec(source, names)
    try:
        return "passed: " + str(check(next(v for k, v in names.items() if k == {name!r})))
    except AssertionError as error:
        return "refused: " + str(error)
print(_json.dumps([_verdict({check}, source) for source in {sources!r}]))
"""


def solutions(notebook):
    """The folded solutions, by the number of their exercise."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.findall(r"<summary>Solution (\d)</summary>\s*```python\n(.*?)```", text, re.DOTALL)
    return {int(number): source for number, source in found}


def wrong_answers(path):
    """The wrong answers of `wrong_answers/`, by exercise: lists of (what is wrong, words of the message, source)."""
    text = (ROOT / "tests" / "course" / "wrong_answers" / f"{path.stem}.py").read_text(encoding="utf-8")
    parts = re.split(r"^# exercise (\d): (.*)\n", text, flags=re.MULTILINE)[1:]
    answers = {}
    for number, title, source in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        fault, _, words = title.partition(" => ")
        assert words, f"{path.stem}, exercise {number}: write '{fault} => words that the message must hold'"
        answers.setdefault(int(number), []).append((fault, words, source))
    return answers


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_its_checks_tell_right_from_wrong(path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    right, wrong = solutions(notebook), wrong_answers(path)
    assert set(right) == set(wrong) == {1, 2, 3} and all(len(answers) >= 2 for answers in wrong.values())
    for number in right:
        sources = [right[number]] + [source for _, _, source in wrong[number]]
        attempt = TRY.format(name=f"exercise_{number}", check=f"check_{number}", sources=sources)
        notebook.cells.append(nbformat.v4.new_code_cell(attempt))
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    try:
        client.execute()
    except CellExecutionError as error:
        pytest.fail(f"{path.name}: {str(error)[-3000:]}")
    for number, cell in zip(right, notebook.cells[-3:], strict=True):
        (solved, *refused) = json.loads(cell.outputs[0].text)
        assert solved.startswith(f"passed: Exercise {number}: correct"), solved
        for (fault, words, _), verdict in zip(wrong[number], refused, strict=True):
            assert verdict.startswith("refused: ") and words in verdict, f"exercise {number}, {fault}: {verdict}"
