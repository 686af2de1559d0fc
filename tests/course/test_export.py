"""One mechanism turns notebooks into the library, from the file and from a running kernel."""

import ast
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

from course.export import defined_names, export_all, join_cells, module_texts, out_of_step
from course.lessons import code_cells, is_appendix, modules, notebooks

NOTEBOOKS = notebooks()


def test_library_is_in_step_with_the_notebooks():
    assert [path.name for path in out_of_step(export_all())] == [], "run `make export` and commit what it writes"


def test_library_holds_nothing_that_no_notebook_exports():
    assert set((ROOT / "ddpm_lib").glob("*.py")) == set(export_all())


def test_imports_go_one_way():
    """An exported module imports only modules that earlier notebooks export (or its own notebook)."""
    exported = {module for notebook in NOTEBOOKS if notebook.stem == "99_sliders" for module in modules(notebook)}
    for notebook in NOTEBOOKS:
        texts = module_texts(notebook)
        exported |= set(texts) if not is_appendix(notebook) else set()
        for name, text in texts.items():
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.module.startswith("ddpm_lib."):
                    assert node.module.removeprefix("ddpm_lib.") in exported, f"{name} imports {node.module}"


def test_public_functions_and_classes_have_docstrings():
    for path, text in export_all().items():
        tree = ast.parse(text)
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_a_continued_class_becomes_one_class():
    cells = [
        "#| export\nclass A:\n    def one(self):\n        return 1",
        "#| export\ndef other():\n    pass",
        "#| export\nclass A(A):\n    def two(self):\n        return self.one() + 1",
    ]
    text = join_cells(cells)
    names = {}
    exec(text, names)
    assert names["A"]().two() == 2 and names["A"].__bases__ == (object,)
    assert text.count("class A") == 1 and "export" not in text
    assert defined_names(cells[2]) == {"A.two"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_kernel_and_file_export_the_same_bytes(notebook):
    """A kernel that ran the cells of the file, even twice and out of order, exports what the file exports."""
    sources = code_cells(notebook)
    assert module_texts(notebook, sources + sources[::-1]) == module_texts(notebook)


def test_the_latest_version_that_ran_wins():
    notebook = ROOT / "notebooks" / "01_forward_diffusion.ipynb"
    cell = next(s for s in code_cells(notebook) if s.startswith("#| export") and "noise_step" in defined_names(s))
    edited = cell.replace("def noise_step(", "def my_helper():\n    pass\n\n\ndef noise_step(")
    new = "#| export\ndef brand_new():\n    return 1"
    text = module_texts(notebook, [cell, edited, "def noise_step(: broken", "def not_exported(): pass", new])["forward"]
    assert (
        text
        == module_texts(notebook)["forward"].replace(
            "def noise_step(", "def my_helper():\n    pass\n\n\ndef noise_step("
        )
        + "\n\ndef brand_new():\n    return 1\n"
    )


@pytest.fixture
def clone(tmp_path):
    """A small clone with the first notebooks' exports, to write into."""
    for folder in ("course", "ddpm_lib", "notebooks"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    return tmp_path


def run_learners_kernel(clone, edits, env):
    """Run notebook 01's setup, its exported cells with the learner's edits, and its export, in a real kernel."""
    path = clone / "notebooks" / "01_forward_diffusion.ipynb"
    sources = code_cells(path)
    wanted = [sources[0]] + [s for s in sources if s.startswith("#| export")] + edits
    wanted += [s for s in sources if "export_from_kernel(" in s]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in wanted])
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "DDPM_NO_EXPORT")}
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=clean | env)
    return "".join(o.get("text", "") for o in notebook.cells[-1].outputs)


EDIT = '#| export\ndef noise_step(x, beta, generator=None):\n    """The learner\'s own step."""\n    return x'


def test_learners_edit_reaches_the_library_from_the_kernel(clone):
    said = run_learners_kernel(clone, [EDIT], {})
    assert "written from this notebook" in said
    text = (clone / "ddpm_lib" / "forward.py").read_text()
    assert "The learner's own step." in text and text.count("def noise_step") == 1
    code = f"import sys; sys.path.insert(0, {str(clone)!r}); from ddpm_lib.forward import noise_step; print(noise_step(7, 0.5))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "7\n"


@pytest.mark.parametrize("env", [{"DDPM_NO_EXPORT": "1"}, {"PYTEST_CURRENT_TEST": "any"}])
def test_nothing_is_written_while_tests_run_notebooks(clone, env):
    before = (clone / "ddpm_lib" / "forward.py").read_bytes()
    assert "not written" in run_learners_kernel(clone, [EDIT], env)
    assert (clone / "ddpm_lib" / "forward.py").read_bytes() == before


def test_code_that_runs_only_in_this_kernel_is_not_exported(clone):
    """An exported cell that uses a name from a cell which is not exported would break the module: the old one is kept."""
    before = (clone / "ddpm_lib" / "forward.py").read_bytes()
    said = run_learners_kernel(clone, ["only_here = 3", "#| export\nCOUNT = only_here"], {})
    assert "not exported" in said and "NameError: name 'only_here'" in said
    assert (clone / "ddpm_lib" / "forward.py").read_bytes() == before


def test_a_half_typed_cell_in_the_file_is_named_and_nothing_is_written(clone):
    before = (clone / "ddpm_lib" / "forward.py").read_bytes()
    half_typed = "import pathlib\npath = pathlib.Path('01_forward_diffusion.ipynb')\npath.write_text(path.read_text().replace('def noise_chain(x_0', 'def noise_chain(x_0('))"
    said = run_learners_kernel(clone, [EDIT, half_typed], {})
    assert (
        "not exported: 01_forward_diffusion.ipynb, as last saved, has a syntax error at `def noise_chain(x_0(" in said
    )
    assert (clone / "ddpm_lib" / "forward.py").read_bytes() == before


def test_untouched_notebook_changes_nothing(clone):
    before = {path: path.read_bytes() for path in (clone / "ddpm_lib").glob("*.py")}
    assert "in step" in run_learners_kernel(clone, [], {})
    assert before == {path: path.read_bytes() for path in (clone / "ddpm_lib").glob("*.py")}


def test_notebooks_are_clean_json():
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert all("execution" not in cell["metadata"] for cell in notebook["cells"])
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids)
