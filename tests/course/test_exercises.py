"""The learner's workspace: blank it fails, solved it passes, and each classic wrong answer is refused by its name."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

import course.check
import course.workspace
from course.check import Blank, check_piece, graded_modules, load_library, pieces
from course.export import module_texts
from course.lessons import code_cells, export_target, locate, notebook_of
from course.workspace import write_workspace

PIECES = pieces()
STEMS = list(dict.fromkeys(notebook_of()[module].stem for module in graded_modules()))

WRONG = re.findall(
    r"^# ([\w.]+): (.*?) => (.*)\n((?:(?!^# ).*\n)+)",
    "\n".join(path.read_text() for path in sorted((ROOT / "tests/course/wrong_answers").glob("*.py"))),
    re.MULTILINE,
)
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


def names_of(library, module):
    return [vars(library[module]), *(vars(part) for part in library.values())]


# blank, solved, wrong


def test_all_blank_fails_every_piece(workspace):
    library = load_library(workspace)
    for name, piece in PIECES.items():
        with pytest.raises(Blank, match=f"{re.escape(name)} is yours to write"):
            check_piece(name, names_of(library, piece.module))
    status, said = grade(workspace)
    assert status != 0 and f"0 of {len(PIECES)} pieces, next: noise_step" in said and f"{len(PIECES)} blank" in said


def test_reference_solutions_pass_every_piece():
    library = load_library(ROOT)
    for name, piece in PIECES.items():
        check_piece(name, names_of(library, piece.module))


def test_solved_notebooks_give_the_project_its_own_library_back(workspace):
    """So the project's tests, which the grader runs once a module is done, are those of the suite on the same bytes."""
    for notebook in STEMS:
        solutions = [s for s in code_cells(ROOT / "notebooks" / f"{notebook}.ipynb") if export_target(s) is not None]
        texts = module_texts(workspace / "notebooks" / f"{notebook}.ipynb", solutions)
        for module, text in texts.items():
            assert text == (ROOT / "ddpm_lib" / f"{module}.py").read_text(encoding="utf-8"), module


@pytest.mark.parametrize("name, fault, words, source", WRONG, ids=[f"{name}: {fault}" for name, fault, _, _ in WRONG])
def test_wrong_answer_is_refused_and_its_mistake_named(name, fault, words, source, learner):
    module = vars(learner[PIECES[name].module])
    names = dict(module)
    exec(compile(source, "a learner's cell", "exec"), names)
    owner, _, attribute = name.rpartition(".")
    with pytest.MonkeyPatch.context() as patch:
        if owner:
            patch.setattr(module[owner], attribute, names[attribute])
        else:
            patch.setitem(module, name, names[name])
        names.update({k: v for k, v in module.items() if k in PIECES})
        with pytest.raises(AssertionError, match=re.escape(words)) as refused:
            check_piece(name, [module, names, *(vars(part) for part in learner.values())])
    assert len(str(refused.value)) > 25
    check_piece(name, names_of(learner, PIECES[name].module))  # the check leaves everything as it was


@pytest.fixture(scope="module")
def learner():
    return load_library(ROOT)


def filled(text, name, source):
    """A module's text with this source in place of a piece."""
    node, lines = locate(ast.parse(text), name), text.split("\n")
    lines[node.lineno - 1 : node.end_lineno] = textwrap.indent(source.strip(), " " * node.col_offset).split("\n")
    return "\n".join(lines)


def test_the_grader_names_the_mistakes_of_a_whole_workspace(mine):
    """The first wrong answer of every piece, all at once: each piece is graded for itself."""
    first = {name: (words, source) for name, _, words, source in WRONG[::-1]}
    for name, (_, source) in first.items():
        path = mine / "ddpm_lib" / f"{PIECES[name].module}.py"
        path.write_text(filled(path.read_text(), name, source))
    status, report = grade(mine)
    assert status == 1 and f"0 of {len(PIECES)} pieces" in report and f"{len(PIECES)} wrong" in report
    for name, (words, _) in first.items():
        verdict = report[report.index(f"WRONG {name}: ") :]
        assert words in verdict[: verdict.find("WRONG", 5)], f"{name}: {words}"


def test_every_piece_has_a_wrong_answer_and_there_are_enough():
    assert {name for name, *_ in WRONG} == set(PIECES) and len(WRONG) >= 25


def test_blanking_keeps_signature_docstring_and_the_checks_of_input(workspace):
    for piece in PIECES.values():
        text = (workspace / "ddpm_lib" / f"{piece.module}.py").read_text()
        assert f'raise NotImplementedError("{piece.name} is yours to write' in text
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
    checks = [s for s in code_cells(workspace / "notebooks" / f"{stem}.ipynb") if "\ncheck(" in s]
    pieces = [name for name, piece in PIECES.items() if notebook_of()[piece.module].stem == stem]
    for source in checks:
        exec(source, {})
    said = capsys.readouterr().out
    assert [f"{name}: still blank" in said for name in pieces] == [True] * len(pieces), said
    kernel += exported(ROOT, stem)
    for source in checks:
        exec(source, {})
    assert capsys.readouterr().out.split("\n") == [f"{name}: right" for name in pieces] + [""]


STEP = "#| export\ndef noise_step(x, beta, generator=None):\n    "
SLIPS = {
    "a name that only the notebook has": (
        [STEP + "return math.sqrt(1 - beta) * x"],
        "NameError: name 'math' is not defined, .*: beside its arguments",
    ),
    "a print left in": ([STEP + "print(x)\n    return x"], "draw new noise for every entry .*is not shown"),
    "a renamed argument": (
        [STEP.replace("beta", "b") + "return x"],
        r"its arguments must be \(x, beta, generator=None\), yours are \(x, b, generator=None\)",
    ),
    "no export": ([STEP.replace("#| export", "# mine") + "return x"], "still blank: .* begins with `#| export`"),
    "a syntax error, then mended": ([STEP + "return (1 - beta", STEP + "return x"], "every entry"),
    "an exported cell that fails": (
        [STEP + "return x", "#| export\nlimit = images.max()"],
        "do not run together: NameError: name 'images' is not defined",
    ),
    "a piece that raises": (
        [STEP + "return x.root()"],
        "AttributeError: .* no attribute 'root', at `return x.root\\(\\)`",
    ),
}


@pytest.mark.parametrize("ran, said", SLIPS.values(), ids=SLIPS)
def test_slips_in_a_notebook_are_told(kernel, ran, said, capsys):
    kernel += ran
    course.check.check("noise_step")
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(said, told), told


def test_a_class_that_was_begun_anew_is_judged_whole(kernel, capsys):
    """In the kernel the class loses its methods when its first cell runs again; what is exported has them all."""
    cells = exported(ROOT, "02_noise_schedule")
    kernel += cells + [source for source in cells if "\nclass NoiseSchedule:" in source]
    course.check.check("NoiseSchedule.add_noise")
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
    assert "forward.py: written from this notebook" in said[-1]
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
        assert sources[1:] == original[1:-1]  # whole, but for the export


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


# the grader can't be fooled


def put_in_place_of(text, name, source):
    """A module's text with another definition of a function at its end."""
    assert f"def {name}(" in text
    return text + "\n\n" + source.replace("CLONE", repr(str(ROOT)))


CHEATS = {
    "noise_step": (
        "import importlib.util\n"
        "spec = importlib.util.spec_from_file_location('other', CLONE + '/ddpm_lib/forward.py')\n"
        "other = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(other)\nnoise_step = other.noise_step",
        "forward.py reads",
    ),
    "sinusoidal_embedding": (
        "exec(compile(open(CLONE + '/ddpm_lib/embedding.py').read(), __file__, 'exec'))",
        "embedding.py reads",
    ),
    "noise_prediction_loss": (
        "def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):\n    import sys\n    sys.path.insert(0, CLONE)\n"
        "    mine = {k: sys.modules.pop(k) for k in list(sys.modules) if k.startswith('ddpm_lib')}\n"
        "    from ddpm_lib.loss import noise_prediction_loss as theirs\n    sys.modules.update(mine)\n    sys.path.remove(CLONE)\n"
        "    return theirs(model, x_0, schedule, t, noise, generator)",
        "noise_prediction_loss reads",
    ),
    "sample": (
        "def sample(model, schedule, shape, steps=None, generator=None, clip=True, variance='beta_tilde', x_T=None, progress=True):\n"
        "    from course.check import reference\n"
        "    return reference()['sampling'].sample(model, schedule, shape, steps, generator, clip, variance, x_T, progress)",
        "sample runs sample of",
    ),
    "ddim_encode": (
        "import course.check\nddim_encode = course.check.reference()['fast_sampling'].ddim_encode",
        "ddim_encode comes from",
    ),
    "kl_gaussians": (
        "def kl_gaussians(mean_1, variance_1, mean_2, variance_2):\n    import subprocess, sys\n"
        "    subprocess.run([sys.executable, '-c', 'import ddpm_lib.evaluation'])\n    return mean_1",
        "kl_gaussians starts another program",
    ),
}


def test_what_the_checks_themselves_run_of_the_reference_is_no_cheat(mine):
    """With the course reached by a relative path, as from a workspace within the clone, and right pieces that are watched."""
    (mine / "course.py").write_text(course.workspace.SHIM.format(course=os.path.relpath(ROOT / "course", mine)))
    for module in ("sampling", "training"):
        shutil.copy(ROOT / "ddpm_lib" / f"{module}.py", mine / "ddpm_lib")
    _, report = grade(mine, "-k", "walk or train_step")
    assert "right walk" in report and "right train_step" in report, report


def test_the_reference_library_can_not_stand_in(mine):
    for name, (source, _) in CHEATS.items():
        path = mine / "ddpm_lib" / f"{PIECES[name].module}.py"
        path.write_text(put_in_place_of(path.read_text(), name, source))
    status, report = grade(mine)
    assert status == 1 and f"0 of {len(PIECES)} pieces" in report
    for name, (_, words) in CHEATS.items():
        assert f"WRONG {name}: {words}" in report, report


def test_a_package_that_points_elsewhere_and_stored_outputs_count_for_nothing(mine):
    """The package's path turned to the clone's, and notebooks full of the reference's outputs."""
    (mine / "ddpm_lib" / "__init__.py").write_text(f"__path__ = [{str(ROOT / 'ddpm_lib')!r}]\n")
    for stem in STEMS:
        shutil.copy(ROOT / "notebooks" / f"{stem}.ipynb", mine / "notebooks")
    status, report = grade(mine)
    assert (
        status == 1
        and f"0 of {len(PIECES)} pieces" in report
        and "the reference library can't stand in for yours" in report
    )


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
    path.write_text(path.read_text().replace("be at least {lowest}", "be larger"))  # given, so no piece sees it
    status, report = grade(mine, "ddpm_lib/forward.py", "ddpm_lib/schedule.py")
    assert status == 1 and f"10 of {len(PIECES)} pieces, next: sinusoidal_embedding" in report
    assert "right tests/library/test_forward.py" in report and "WRONG tests/library/test_schedule.py: FAILED" in report
