"""A new lesson touches only its own files, and all the machinery knows it: a toy lesson 97 in a copy of the repository."""

import json
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

from course.lessons import code_cells

EXPORTED = '''#| export
def double(x):
    """Twice `x`, a number or a tensor."""
    #| blank
    return 2 * x'''
EXERCISE = """def exercise_1(x):
    return None"""
SOLUTION = (
    "<details>\n<summary>Solution 1</summary>\n\n```python\ndef exercise_1(x):\n    return x / 2\n```\n</details>"
)
CHECKS = '''"""How the piece and the exercise of notebook 97 are tried."""

from course.check import Checks

checks = Checks()


@checks.piece("double", "Multiply by two.")
def _(lib):
    return {"double(3)": lib.double(3.0)}


checks.mistakes("double", [("2 * x", "x ** 2", "squared, not doubled")])


@checks.exercise(1)
def _(answer, page):
    return {"half of 3": answer(3)}


checks.mistakes(1, [("x / 2", "double(x)", "this is the double")])
'''
TEST = """from ddpm_lib.doubling import double


def test_twice_is_a_sum():
    assert double(3) == 3 + 3
"""
BENCHMARK = """from course.lessons import RESULTS

print(RESULTS)
"""


def toy_notebook(root):
    """The cells of lesson 97, with the setup and the export of the others."""
    first, *others = code_cells(root / "notebooks" / "01_forward_diffusion.ipynb")
    last = next(source for source in others if "export_from_kernel(" in source)
    check = 'from course.check import checks_for\n\ncheck = checks_for("97_doubling")'
    sources = [first, "#| default_exp doubling", EXPORTED, EXERCISE, check, "check(exercise_1)"]
    sources.append(last.replace("01_forward_diffusion", "97_doubling"))
    cells = [nbformat.v4.new_markdown_cell("# Doubling\n\n> Twice a number.\n")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources] + [nbformat.v4.new_markdown_cell(SOLUTION)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the repository with lesson 97 in it."""
    root = tmp_path_factory.mktemp("house") / "copy"
    skip = shutil.ignore_patterns(".*", "__pycache__", "build", "runs", "workspace", "raw", "*.egg-info")
    shutil.copytree(ROOT, root, ignore=skip)
    nbformat.write(toy_notebook(root), root / "notebooks" / "97_doubling.ipynb")
    (root / "checks" / "97_doubling.py").write_text(CHECKS)
    (root / "tests" / "library" / "test_doubling.py").write_text(TEST)
    (root / "benchmarks" / "97_doubling.py").write_text(BENCHMARK)
    return root


def run(house, *command, status=0):
    done = subprocess.run([sys.executable, "-m", *command], cwd=house, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_new_lesson_registers_itself_nowhere(house):
    """Export, the tables, its tests and its measurement."""
    assert run(house, "course.export") == "ddpm_lib/doubling.py: written\n"
    assert "README.md: written" in run(house, "course.tables")
    assert run(house, "course.tables", "--check") == ""
    row = next(line for line in (house / "README.md").read_text().split("\n") if "97_doubling" in line)
    assert "Twice a number." in row and "`doubling`" in row and "Colab" in row
    assert "1 passed" in run(house, "pytest", "-q", "tests/library/test_doubling.py")
    assert run(house, "benchmarks.97_doubling").strip() == str(house / "benchmarks" / "results")


def test_its_piece_is_blank_then_wrong_then_right_in_a_workspace(house):
    run(house, "course.export")
    workspace = house / "workspace"
    run(house, "course.workspace", str(workspace))
    module = workspace / "ddpm_lib" / "doubling.py"
    blank = next(line for line in module.read_text().split("\n") if "raise NotImplementedError" in line)
    for answer, said in (
        ("", "blank double"),
        ("    return x**2", "squared, not doubled"),
        ("    return x + x", "right double"),
    ):
        if answer:
            module.write_text(module.read_text().replace(blank, answer))
            blank = answer
        assert said in " ".join(run(workspace, "pytest", "-k", "double", status=1).split())


def test_its_notebook_runs_and_its_exercise_is_checked(house):
    run(house, "course.execute", "notebooks/97_doubling.ipynb")
    cells = json.loads((house / "notebooks" / "97_doubling.ipynb").read_text())["cells"]
    said = ["".join(output["text"]) for cell in cells for output in cell.get("outputs", [])]
    assert said[0] == "exercise_1: waiting for your answer\n" and "in step with this notebook" in said[-1]
