"""A simulated Colab: its versions of IPython, ipywidgets, numpy and matplotlib (tests/browser/colab/requirements.txt, in .venv-colab), `google.colab`
loaded before the first cell, an empty working directory, and no network. Every notebook's setup cell, scrubbers, live figures and
re-export run there. git clones this working copy in the place of the repository's address.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
from conftest import ROOT
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course import tables
from course.lessons import code_of, export_target, is_appendix, notebooks
from course.slices import cells_calling, shortened, slice_for

NOTEBOOKS = notebooks()
PYTHON = ROOT / ".venv-colab" / "bin" / "python"
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
CLONE = ADDRESS.split("/")[-1]
MOVE = """
def _moved(control):
    if hasattr(control, "options"):
        control.index = (control.index + 1) % len(control.options)
    elif isinstance(control.value, bool):
        control.value = not control.value
    else:
        far = control.max if abs(control.value - control.min) < abs(control.max - control.value) else control.min
        control.value = control.base**far if hasattr(control, "base") else far

_live, _unmoved = Out[max(Out)], []
for _name, _control in _live.controls.items():
    _before, _value = _live.picture.value, _control.value
    _moved(_control)
    if _live.picture.value == _before:
        _unmoved.append(_name)
    _control.value = _value
assert not _unmoved, f"these controls do not change the picture: {_unmoved}"
print("every control changes the picture:", *_live.controls)
"""


@pytest.fixture(scope="module")
def lane():
    if not PYTHON.exists():
        pytest.skip("no .venv-colab: `make test` creates it")
    return PYTHON


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """This working copy as a git repository, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("origin")
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("not a git checkout")
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("docs/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.compression=0"]
    for command in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-q", "-m", "everything"]):
        subprocess.run(["git", *author, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def colab(lane, origin, tmp_path_factory):
    """Runs sources as the cells of one notebook in the simulated Colab; returns the cells with their outputs, and the working directory."""

    def run(sources):
        own = tmp_path_factory.mktemp("colab")
        kernel, content = own / "kernels" / "colab", own / "content"  # Colab begins in /content
        kernel.mkdir(parents=True), content.mkdir()
        argv = [str(lane), "-m", "colab_kernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
        env = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "DDPM_NO_EXPORT", "PYTHONPATH")}
        env |= {"PYTHONPATH": str(ROOT / "tests" / "browser" / "colab"), "IPYTHONDIR": str(own / "ipython"), "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{origin}.insteadOf", "GIT_CONFIG_VALUE_0": ADDRESS}  # fmt: skip
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        specs = KernelSpecManager(kernel_dirs=[str(kernel.parent)], ensure_native_kernel=False)
        manager = AsyncKernelManager(kernel_name="colab", kernel_spec_manager=specs)
        client = NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": str(content)}})
        try:
            client.execute(env=env, cleanup_kc=True)  # stop the kernel, too
        except CellExecutionError as error:
            pytest.fail(str(error)[-3000:])
        return notebook.cells, content

    return run


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_lane_has_the_versions_of_colab(colab):
    names = "IPython ipywidgets numpy matplotlib".split()
    tell = f"import sys, torch, {', '.join(names)}\nprint(*[sys.modules[name].__version__ for name in {names}])"
    wanted = dict(
        re.findall(
            r"^([\w-]+)==(\S+)", (ROOT / "tests" / "browser" / "colab" / "requirements.txt").read_text(), re.MULTILINE
        )
    )
    ran, _ = colab(["import sys\nassert 'google.colab' in sys.modules and 'ddpm_lib' not in sys.modules", tell])
    assert text_of(ran[1]).split() == [wanted[name.lower()] for name in names]


def cells_to_run(path):
    """The setup cell, every scrubber and live figure with the cells that they need, and an edit with the re-export; the places of the targets."""
    sources, original = shortened(path), list(code_of(path).values())
    live, scrubs = cells_calling(path, "live_figure"), cells_calling(path, "scrub")
    first = min(sources)
    where = f"import ddpm_lib, pathlib\nassert pathlib.Path('{CLONE}').resolve() in pathlib.Path(ddpm_lib.__file__).resolve().parents"
    cells, at = [sources[first], where], {}
    for k in sorted(set().union(*(slice_for(path, target) for target in live + scrubs)) - {first}):
        at[k] = len(cells)
        cells += [sources[k]] + [MOVE] * (k in live)
    for exported in [source for source in original if export_target(source) == ""][:1]:
        cells += [exported + '\nLEARNER = "was here"'] + [s for s in original if "export_from_kernel(" in s]
    return cells, {k: at[k] for k in scrubs}, {k: at[k] for k in live}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_in_colab(path, colab):
    """The setup cell clones and says nothing; scrubbers stand; every control of a live figure changes its picture; an edit is exported."""
    sources, scrubs, live = cells_to_run(path)
    ran, content = colab(sources)
    assert ran[0].outputs == [] and (is_appendix(path) or (live and scrubs))
    for k, place in scrubs.items():
        html = "".join(output.get("data", {}).get("text/html", "") for output in ran[place].outputs)
        assert "<iframe" in html and "ddpm-still" in html, f"cell {k}"
    for k, place in live.items():
        data = next(output.data for output in ran[place].outputs if "data" in output)
        assert "application/vnd.jupyter.widget-view+json" in data and "ddpm-live-still" in data["text/html"]
        assert text_of(ran[place + 1]).startswith("every control changes the picture"), f"cell {k}"
    for module in re.findall(r"#\|\s*default_exp (\w+)", "\n".join(code_of(path).values())):
        assert f"ddpm_lib/{module}.py: written from this notebook" in text_of(ran[-1])
        assert 'LEARNER = "was here"' in (content / CLONE / "ddpm_lib" / f"{module}.py").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_installed(path):
    """Colab's torch stays Colab's: no cell and no module calls an installer."""
    for source in code_of(path).values():
        assert not re.search(r"\b(pip|conda|mamba|apt|uv)\b[^\n]*\binstall\b", source)


def test_setup_is_silent_outside_colab(tmp_path):
    """In a clone it prints nothing, clones nothing and changes no file."""
    (tmp_path / "git").write_text("#!/bin/sh\necho git was called; exit 1\n")
    (tmp_path / "git").chmod(0o755)
    source = code_of(NOTEBOOKS[0])[min(code_of(NOTEBOOKS[0]))]
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT / "notebooks", env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not (ROOT / "notebooks" / CLONE).exists()


def test_badges_and_clone_address_come_from_pyproject():
    step = [path.name for path, text in tables.texts().items() if path.read_text(encoding="utf-8") != text]
    assert step == [], "run `make badges` and commit what it writes"
    for path in NOTEBOOKS:
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        picture, target = re.search(r"\[!\[Open in Colab\]\(([^)]+)\)\]\(([^)]+)\)", "".join(first)).groups()
        assert (path.parent / picture).resolve() == ROOT / "docs" / "open-in-colab.svg" and (
            ROOT / "docs" / "open-in-colab.svg"
        ).exists()
        assert target == f"{tables.COLAB}/{ADDRESS.split('github.com/')[1]}/blob/main/notebooks/{path.name}"


def test_one_setting_moves_every_address(tmp_path):
    """Another address in pyproject.toml reaches the badges, the README and what the setup cell clones; twice is as once."""
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", f"notebooks/{NOTEBOOKS[0].name}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = (ROOT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(
            text.replace(ADDRESS, "https://github.com/somebody/diffusion") if name == "pyproject.toml" else text
        )
    for path, text in tables.texts(tmp_path).items():
        path.write_text(text, encoding="utf-8")
    assert all(path.read_text(encoding="utf-8") == text for path, text in tables.texts(tmp_path).items())
    notebook = (tmp_path / "notebooks" / NOTEBOOKS[0].name).read_text(encoding="utf-8")
    assert "github/somebody/diffusion/blob/main/notebooks/00" in notebook and ADDRESS not in notebook
    assert '\\"https://github.com/somebody/diffusion\\"' in notebook and 'Path(\\"diffusion\\").exists()' in notebook
    assert f"github/somebody/diffusion/blob/main/notebooks/{NOTEBOOKS[0].name}" in (tmp_path / "README.md").read_text()
