"""The learner's workspace: blank it fails, solved it passes, and each classic wrong answer is refused by its name."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

import course.check
import course.workspace
from course.check import Blank, Wrong, checks_for, pieces, plain, text_of, try_piece, with_function
from course.export import module_texts
from course.lessons import cells_of, code_cells, export_target, locate, notebook_of
from course.road import HIDDEN, tagged
from course.workspace import write_workspace

PIECES = {name: module for name, (_, module) in pieces().items()}
STEMS = list(dict.fromkeys(notebook_of()[module].stem for module in PIECES.values()))
MISTAKES = [(name, mistake) for name, (check, _) in pieces().items() for mistake in check.mistakes]
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "DDPM_NO_EXPORT", "DDPM_WORKSPACE")}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace as `make exercises` writes it; tests that change something take a copy."""
    folder = tmp_path_factory.mktemp("learner") / "workspace"
    write_workspace(folder)
    return folder


@pytest.fixture
def mine(workspace, tmp_path):
    shutil.copytree(workspace, tmp_path / "mine", symlinks=True)
    return tmp_path / "mine"


def grade(folder, *arguments):
    """What a learner sees: pytest in the workspace. Returns (its exit status, its output)."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=folder, env=CLEAN, capture_output=True, text=True
    )
    return done.returncode, " ".join(done.stdout.split()) + done.stderr


# blank, solved, wrong


def right_answer(name):
    """The reference's source of a piece, as a mistake edits it."""
    return plain(locate(ast.parse(text_of(PIECES[name])), name))


def test_all_blank_fails_every_piece(workspace):
    for name, module in PIECES.items():
        with pytest.raises(Blank):
            try_piece(name, (workspace / "ddpm_lib" / f"{module}.py").read_text())
    status, said = grade(workspace)
    assert status != 0 and f"0 of {len(PIECES)} pieces, next: noise_step" in said and f"{len(PIECES)} blank" in said


@pytest.mark.parametrize("name", PIECES)
def test_the_reference_is_right(name):
    try_piece(name, text_of(PIECES[name]))


def test_solved_notebooks_give_the_project_its_own_library_back(workspace):
    """So the project's tests, which the grader runs once a module is done, are those of the suite on the same bytes."""
    for notebook in STEMS:
        solutions = [s for s in code_cells(ROOT / "notebooks" / f"{notebook}.ipynb") if export_target(s) is not None]
        texts = module_texts(workspace / "notebooks" / f"{notebook}.ipynb", solutions)
        for module, text in texts.items():
            assert text == (ROOT / "ddpm_lib" / f"{module}.py").read_text(encoding="utf-8"), module


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=[f"{name}: {mistake.says}" for name, mistake in MISTAKES])
def test_mistake_is_an_edit_that_is_told_by_its_sentence(name, mistake):
    """It applies exactly once, comes out otherwise than the right answer, and is not taken for another mistake."""
    text = with_function(text_of(PIECES[name]), name, mistake.apply(right_answer(name)))
    with pytest.raises(Wrong) as told:
        try_piece(name, text)
    assert mistake.says in str(told.value)


def test_every_piece_has_a_known_mistake():
    assert {name for name, _ in MISTAKES} == set(PIECES)


SLIP = "def noise_step(x, beta, generator=None):\n    "
COMMON = {
    "no return": (SLIP + "(1 - beta) ** 0.5 * x", "is there a return"),
    "a renamed argument": (SLIP.replace("beta", "b") + "return x", r"its arguments must be \(x, beta, generator=None\), yours are \(x, b, gen"),
    "an argument left out": ("def noise_step(x, beta):\n    return x", r"its arguments must be .*, yours are \(x, beta\)"),
    "a list": (SLIP + "return [x]", "yours is of type list|raises"),
    "numpy": (SLIP + "return x.numpy()", "ndarray"),
    "a name that only the notebook has": (SLIP + "return math.sqrt(1 - beta) * x", "'math' is not defined.*: beside its arguments there is only"),
    "an attribute that a schedule lacks": ("def add_noise(self, x_0, t, noise):\n    return self.sqrt_bars[t]", "a schedule has T, betas, alphas"),
    "NaN": (SLIP + "return x * float('nan')", "yours"),
    "an error of one's own": (SLIP + "return x.root()", "AttributeError: .* no attribute 'root', at `return x.root"),
}


@pytest.mark.parametrize("source, said", COMMON.values(), ids=COMMON)
def test_slips_that_any_piece_can_hold_are_told(source, said):
    name = "NoiseSchedule.add_noise" if "self" in source else "noise_step"
    with pytest.raises(Wrong) as told:
        try_piece(name, with_function(text_of(PIECES[name]), name, source))
    assert re.search(said, " ".join(str(told.value).split()))


def test_each_piece_is_tried_alone_with_the_learners_own_helpers():
    """Another piece of the module is wrong, and this one calls a function that only the learner has."""
    text = with_function(text_of("forward"), "noise_chain", "def noise_chain(x_0, betas, generator=None):\n    return x_0")
    own = "def noise_step(x, beta, generator=None):\n    return mean(x, beta) + beta**0.5 * noise_like(x, generator)"
    text = with_function(text, "noise_step", own) + "\n\ndef mean(x, beta):\n    return (1 - beta) ** 0.5 * x\n"
    try_piece("noise_step", text)
    with pytest.raises(Wrong):
        try_piece("noise_chain", text)


def test_a_mistake_among_others_is_told_by_what_comes_out_first():
    wrong = right_answer("NoiseSchedule.posterior").replace("alpha.sqrt()", "now.sqrt()").replace(", beta_tilde)", ", beta_tilde.sqrt())")
    with pytest.raises(Wrong, match=r"sqrt\(alpha_bar_t\) where sqrt\(alpha_t\) belongs"):
        try_piece("NoiseSchedule.posterior", with_function(text_of("schedule"), "NoiseSchedule.posterior", wrong))


def test_the_grader_names_the_mistakes_of_a_whole_workspace(mine):
    """The first mistake of every piece, all at once: each piece is graded for itself."""
    first = dict(MISTAKES[::-1])
    for name, mistake in first.items():
        path = mine / "ddpm_lib" / f"{PIECES[name]}.py"
        path.write_text(with_function(path.read_text(), name, mistake.apply(right_answer(name))))
    status, report = grade(mine)
    assert status == 1 and f"0 of {len(PIECES)} pieces" in report and f"{len(PIECES)} wrong" in report
    for name, mistake in first.items():
        said = report[report.index(f"WRONG {name}: ") :]
        assert " ".join(mistake.says.split()) in said[: said.find("WRONG", 5)], f"{name}: {mistake.says}"


def test_blanking_keeps_signature_docstring_and_the_checks_of_input(workspace):
    for name, module in PIECES.items():
        text = (workspace / "ddpm_lib" / f"{module}.py").read_text()
        assert f'raise NotImplementedError("{name} is yours to write' in text
    text = (workspace / "ddpm_lib" / "forward.py").read_text()
    for kept in ("def noise_step(x, beta, generator=None):", "(Eq. 2).", "beta must lie in (0, 1)", "# Hint: "):
        assert kept in text
    assert "return (1 - beta) ** 0.5" not in text


def test_workspace_notebooks_hold_no_outputs_and_no_answers(workspace):
    for stem in STEMS:
        path = workspace / "notebooks" / f"{stem}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        original = {
            cell["id"]: "".join(cell["source"])
            for cell in json.loads((ROOT / "notebooks" / path.name).read_text())["cells"]
        }
        folded = {cell["id"] for cell in cells_of(ROOT / "notebooks" / path.name) if tagged(cell, HIDDEN)}
        assert {cell.id for cell in notebook.cells if tagged(cell, HIDDEN)} == folded, "what only has to run stays folded"
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and cell.id != "yours":
                prose = re.sub(r"\[!\[Open in Colab.*\n", "", original[cell.id])  # Colab would open the solved notebook
                assert cell.source == prose


# the learner's way


@pytest.fixture
def kernel(workspace, monkeypatch):
    """Stands for a kernel of the workspace: the list of the sources that it ran."""
    ran = []

    def texts(stem):
        modules = module_texts(workspace / "notebooks" / f"{stem}.ipynb", ran)
        return {workspace / "ddpm_lib" / f"{module}.py": text for module, text in modules.items()}

    monkeypatch.setattr(course.check, "kernel_texts", texts)
    return ran


def exported(folder, stem):
    return [s for s in code_cells(folder / "notebooks" / f"{stem}.ipynb") if export_target(s) is not None]


@pytest.mark.parametrize("stem", STEMS)
def test_check_cells_tell_blank_from_right_in_the_notebook(workspace, kernel, stem, capsys):
    """The check cells of a notebook, before and after the solutions have run in its kernel."""
    checks = [s for s in code_cells(workspace / "notebooks" / f"{stem}.ipynb") if '\ncheck("' in s]
    pieces = [name for name, module in PIECES.items() if notebook_of()[module].stem == stem]
    for source in checks:
        exec(source, {})
    said = capsys.readouterr().out
    assert [f"{name}: still blank" in said for name in pieces] == [True] * len(pieces), said
    kernel += exported(ROOT, stem)
    for source in checks:
        exec(source, {})
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(f"{name}: right" for name in pieces)


STEP = "#| export\ndef noise_step(x, beta, generator=None):\n    "
SLIPS = {
    "a print left in": ([STEP + "print(x)\n    return x"], "not yet: "),
    "no export": ([STEP.replace("#| export", "# mine") + "return x"], "still blank: .* begins with `#| export`"),
    "a syntax error, then mended": ([STEP + "return (1 - beta", STEP + "return x"], "not yet: "),
    "an exported cell that fails": (
        [STEP + "return x", "#| export\nlimit = images.max()"],
        "NameError: name 'images' is not defined",
    ),
}


@pytest.mark.parametrize("ran, said", SLIPS.values(), ids=SLIPS)
def test_slips_in_a_notebook_are_told(kernel, ran, said, capsys):
    kernel += ran
    checks_for("01_forward_diffusion")("noise_step")
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(said, told), told


def test_a_class_that_was_begun_anew_is_judged_whole(kernel, capsys):
    """In the kernel the class loses its methods when its first cell runs again; what is exported has them all."""
    cells = exported(ROOT, "02_noise_schedule")
    kernel += cells + [source for source in cells if "\nclass NoiseSchedule:" in source]
    checks_for("02_noise_schedule")("NoiseSchedule.add_noise")
    assert capsys.readouterr().out == "NoiseSchedule.add_noise: right\n"


def test_a_learner_fills_notebook_01_exports_and_is_graded(mine):
    """The whole of blanked notebook 01 in a kernel: each blank cell, what its check says, the answer, the check again."""
    path = mine / "notebooks" / "01_forward_diffusion.ipynb"
    answers = {cell.id: cell for cell in nbformat.read(ROOT / "notebooks" / path.name, as_version=4).cells}
    notebook, cells = nbformat.read(path, as_version=4), []
    for cell in notebook.cells:
        if cell.id.endswith("-check"):
            cells += [
                cell,
                answers[cell.id.removesuffix("-check")],
                nbformat.from_dict(cell | {"id": cell.id + "-again"}),
            ]
        else:
            cells.append(cell)
    notebook.cells = cells
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=CLEAN)
    said = ["".join(o.get("text", "") for o in cell.get("outputs", [])) for cell in notebook.cells]
    checks = {cell.id: text for cell, text in zip(notebook.cells, said, strict=True) if "-check" in cell.id}
    assert ["blank" in text for text in checks.values()] == [True, False] * 2
    assert [text.strip() for key, text in checks.items() if key.endswith("again")] == [
        "noise_step: right",
        "noise_chain: right",
    ]
    exported_by = next(k for k, cell in enumerate(notebook.cells) if "export_from_kernel(" in cell.source)
    assert "forward.py: written from this notebook" in said[exported_by]
    assert (mine / "ddpm_lib" / "forward.py").read_text() == (ROOT / "ddpm_lib" / "forward.py").read_text()
    status, report = grade(mine)
    assert status == 1 and f"2 of {len(PIECES)} pieces, next: linear_betas Hint: " in report
    assert "right noise_step right noise_chain waits tests/library/test_forward.py: it needs linear_betas" in report


def test_blank_cell_says_what_is_missing_where_it_is_needed(workspace):
    path = workspace / "notebooks" / "01_forward_diffusion.ipynb"
    sources = code_cells(path)
    wanted = (
        [sources[0], "import torch"]
        + [s for s in sources if export_target(s) is not None]
        + ["noise_chain(torch.zeros(2, 1), [0.1])"]
    )
    code = "\n".join(wanted)
    done = subprocess.run([sys.executable, "-c", code], cwd=path.parent, env=CLEAN, capture_output=True, text=True)
    assert done.stderr.strip().endswith(
        "NotImplementedError: noise_chain is yours to write (notebook 01, whose last cell exports it)"
    )


@pytest.mark.parametrize("stem, home", [("00_start_here", ROOT), ("01_forward_diffusion", None)])
def test_notebook_00_runs_on_the_reference_and_the_others_on_the_workspace(workspace, stem, home):
    sources = code_cells(workspace / "notebooks" / f"{stem}.ipynb")
    code = sources[0] + "\nimport ddpm_lib, course.export\nprint(ddpm_lib.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace / "notebooks", env=CLEAN, capture_output=True, text=True
    )
    assert done.stdout.strip() == str((home or workspace.resolve()) / "ddpm_lib" / "__init__.py"), done.stderr
    if home:
        original = code_cells(ROOT / "notebooks" / f"{stem}.ipynb")
        assert sources[1:] == [s for s in original[1:] if "export_from_kernel(" not in s]  # whole, but for the export
        assert len(sources) == len(original) - 1


def test_running_it_again_overwrites_nothing(mine):
    edited = [mine / "notebooks" / "02_noise_schedule.ipynb", mine / "ddpm_lib" / "schedule.py", mine / "README.md"]
    for path in edited:
        path.write_text("my own")  # no notebook at all: it is not even read
    lost = mine / "notebooks" / "03_time_embedding.ipynb"
    before = lost.read_bytes()
    lost.unlink()
    report = write_workspace(mine)
    assert [path.read_text() for path in edited] == ["my own"] * 3 and set(edited) <= set(report["kept"])
    assert report["written"] == [lost.resolve()] and lost.read_bytes() == before


def test_what_is_written_and_not_exported_is_told(mine):
    """Notebook 01 is solved and saved, and its last cell was not run; then its file is half there, and its module is gone."""
    path, module = mine / "notebooks" / "01_forward_diffusion.ipynb", mine / "ddpm_lib" / "forward.py"
    shutil.copy(ROOT / "notebooks" / path.name, path)
    status, report = grade(mine, "-k", "noise_")
    assert status == 1 and f"noise_step: it is written in {path.name}, but not exported: run that" in report
    path.write_text(path.read_text()[:-100])
    module.unlink()
    with pytest.raises(SystemExit, match="can't be exported, .*: mend it, or delete it to begin it anew"):
        write_workspace(mine)


def test_interrupted_it_leaves_nothing_half_written(tmp_path, monkeypatch):
    count = iter(range(100))

    def replace(source, target, real=os.replace):
        if next(count) == 4:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(course.workspace.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_workspace(tmp_path / "mine")
    assert not list((tmp_path / "mine").rglob("*.tmp"))
    report = write_workspace(tmp_path / "mine")
    assert len(report["kept"]) == 4 and report["written"]


def test_without_links_the_data_are_copied(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    copied = []
    monkeypatch.setattr(type(tmp_path), "symlink_to", refuse)
    monkeypatch.setattr(course.workspace.shutil, "copytree", lambda source, target: copied.append((source, target)))
    write_workspace(tmp_path / "mine")
    assert copied == [(ROOT / "data", tmp_path / "mine" / "data")]


def test_windows_line_endings_change_nothing(mine):
    """Of the file, and within the sources, as some editors write them."""
    path = mine / "notebooks" / "02_noise_schedule.ipynb"
    before, notebook = module_texts(path), json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell["source"] = [line.replace("\n", "\r\n") for line in cell["source"]]
    path.write_bytes(json.dumps(notebook, indent=1).replace("\n", "\r\n").encode())
    assert module_texts(path) == before


# an honest look at what is graded


def test_what_is_not_defined_in_the_workspaces_own_file_does_not_count(mine):
    """Imported or assigned from the clone, it is no answer: the text of the function is what is tried."""
    path = mine / "ddpm_lib" / "forward.py"
    node = locate(ast.parse(path.read_text()), "noise_step")
    lines = path.read_text().split("\n")
    lines[node.lineno - 1 : node.end_lineno] = ["from course.check import reference", 'noise_step = reference()["ddpm_lib.forward"].noise_step']
    path.write_text("\n".join(lines))
    status, report = grade(mine, "-k", "noise_step")
    assert status == 1 and "WRONG noise_step: noise_step is missing: the cell that defines it" in report


@pytest.mark.parametrize("how", ["-k nothing", "no library", "no grader", "tests of one's own"])
def test_an_empty_run_is_no_success(mine, how):
    if how == "no library":
        shutil.rmtree(mine / "ddpm_lib")
    if how == "no grader":
        (mine / "conftest.py").unlink()
    if how == "tests of one's own":
        (mine / "ddpm_lib" / "test_mine.py").write_text("def test_mine():\n    pass\n")
    status, report = grade(mine, "-k", "nothing" if how == "-k nothing" else "noise_step or mine")
    assert status != 0
    assert {"no grader": "no tests ran", "tests of one's own": "0 of"}.get(how, "Nothing was graded") in report


def test_right_pieces_of_one_module_are_graded_by_the_projects_tests_too(mine):
    """Notebooks 01 and 02 done: the project's tests of both modules run on the workspace's library, and find what is wrong there."""
    for module in ("forward", "schedule"):
        shutil.copy(ROOT / "ddpm_lib" / f"{module}.py", mine / "ddpm_lib")
    path = mine / "ddpm_lib" / "schedule.py"
    path.write_text(path.read_text().replace("be at least", "exceed"))  # given, so no piece sees it
    status, report = grade(mine, "ddpm_lib/forward.py", "ddpm_lib/schedule.py")
    assert status == 1 and f"10 of {len(PIECES)} pieces, next: sinusoidal_embedding" in report
    assert "right tests/library/test_forward.py" in report and "WRONG tests/library/test_schedule.py: FAILED" in report
