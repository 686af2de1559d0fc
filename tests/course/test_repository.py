"""The repository's own promises: one source of versions, no machine's traces, a README that is true."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from PIL import Image

from course.check import pieces
from course.lessons import is_appendix, notebooks
from course.road import measure
from course.tables import ways

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = notebooks()


def tracked_files():
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_constraints_pin_what_the_project_asks_for():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        requirement = Requirement(line)
        assert len(requirement.specifier) == 1 and str(requirement.specifier).startswith("=="), line
        pins.setdefault(requirement.name.lower(), []).append(str(requirement.specifier)[2:])
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"] + PROJECT["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        if requirement.name != PROJECT["name"]:
            assert requirement.name in pins, f"run `make constraints`: {requirement.name} has no pin"
            assert all(requirement.specifier.contains(pin) for pin in pins[requirement.name]), requirement


def test_environment_yml_installs_the_project():
    """conda, mamba and Binder install the same project, so that pyproject.toml stays the only list."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e .[lab]"]} and "pip" in conda
    python = next(Requirement(d) for d in conda if d.startswith("python"))
    assert str(next(iter(Requirement("python" + PROJECT["requires-python"]).specifier))) in str(python.specifier)


def test_no_addresses_of_registries_and_no_machine_paths():
    hosts = re.compile(r"pythonhosted|pypi\.|conda\.anaconda|/root/|/home/\w+/|/Users/\w+/|/tmp/\w+|/work/")
    for path in tracked_files():
        if path.suffix in {".gz", ".safetensors", ".png", ".gif"} or path == Path(__file__):
            continue
        found = hosts.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_linter_is_content():
    done = subprocess.run(
        [".venv/bin/ruff" if (ROOT / ".venv/bin/ruff").exists() else "ruff", "check", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/teaching.md"])
def test_readme_and_the_teachers_page_have_every_lesson_and_only_real_links(page):
    text = (ROOT / page).read_text()
    for path in NOTEBOOKS:
        assert f"notebooks/{path.name}" in text or (is_appendix(path) and page != "README.md"), f"no word of {path.name}"
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_the_teachers_page_sets_every_module_that_has_pieces():
    sets = re.findall(r"^\| \d+ \|[^|]*\|([^|]*)\|", (ROOT / "docs" / "teaching.md").read_text(), re.MULTILINE)
    written = re.findall(r"`(\w+)`", "".join(sets))
    assert written == list(dict.fromkeys(module for _, module in pieces().values()))


def test_the_ways_to_read_take_what_the_notebooks_take():
    """The evening's roads, all roads, and all: hours that are counted, not typed."""
    evening, weekend, whole = re.findall(r"about ([\d.]+) hours", ways())
    lessons = [measure(path) for path in NOTEBOOKS if not is_appendix(path)]
    for said, what in ((weekend, "road"), (whole, "whole")):
        assert abs(float(said) * 60 - sum(counted[what]["minutes"] for counted in lessons)) <= 15
    assert float(evening) < float(weekend) <= float(whole) and ways() in (ROOT / "README.md").read_text()


def test_the_first_picture_moves_from_noise_to_garments():
    """Under 2 MB, endless, with alternative text, and a still one for those who asked for less motion."""
    readme = (ROOT / "README.md").read_text()
    alt, still = (
        re.search(r'<img src="docs/from_noise.gif" alt="(.*?)"', readme),
        'reduce)" srcset="docs/from_noise.png',
    )
    assert alt and len(alt.group(1)) > 20 and still in readme and (ROOT / "docs" / "from_noise.png").exists()
    path = ROOT / "docs" / "from_noise.gif"
    assert path.stat().st_size < 2e6
    with Image.open(path) as movie:
        assert movie.n_frames > 20 and movie.info["loop"] == 0
        first = np.asarray(movie.convert("L"), dtype=float)[:260]
        movie.seek(movie.n_frames - 1)
        last = np.asarray(movie.convert("L"), dtype=float)[:260]
    grain = [
        np.abs(np.diff(picture[1::3, 1::3], axis=1)).mean() for picture in (first, last)
    ]  # one screen pixel of each
    assert grain[0] > 2 * grain[1], "noise differs from pixel to pixel, garments are smooth"


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md", "docs/teaching.md"))
    used = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE))
    assert {"lab", "test"} <= used <= targets


def test_repository_address_is_the_one_of_pyproject():
    address = PROJECT["urls"]["Repository"]
    for path in [*NOTEBOOKS, ROOT / "README.md"]:
        for found in re.findall(r"https://github\.com/[\w.-]+/ddpm-from-scratch", path.read_text(encoding="utf-8")):
            assert found == address, path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_is_executed_small_and_readable(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert path.stat().st_size < 2e6
    assert all(cell["execution_count"] for cell in code), "every cell is executed"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not any(output["output_type"] == "error" for output in outputs)
    assert not any("widget-view" in mime for output in outputs for mime in output.get("data", {})), (
        "widgets are blank without a kernel"
    )
    for output in outputs:
        if "image/png" in output.get("data", {}):
            assert output["metadata"].get("image/png", {}).get("alt"), "every picture has alternative text"
    assert "widgets" not in notebook["metadata"]
    text = json.dumps(notebook)
    assert not re.search(r"0x[0-9a-f]{9,}|it/s\]|{{[A-Z]", text), "no memory addresses, progress bars or open blanks"


def setup_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def test_every_notebook_begins_with_the_same_setup():
    assert len({setup_cell(path) for path in NOTEBOOKS}) == 1


@pytest.mark.parametrize("place", ["inside the clone", "in Colab"])
def test_setup_finds_the_library(place, tmp_path):
    """From any folder of the clone; in Colab it clones first (here from this checkout) and installs nothing."""
    folder = ROOT / "notebooks" if place == "inside the clone" else tmp_path
    colab = """
import subprocess, shutil, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
def run(command, **_):
    assert command[:2] == ["git", "clone"], command
    shutil.copytree(ROOT + "/ddpm_lib", command[-1].split("/")[-1] + "/ddpm_lib")
subprocess.run = run
"""
    code = f"import sys\nROOT = {str(ROOT)!r}\nsys.path = [p for p in sys.path if p not in ('', ROOT)]\n"
    code += (colab if place == "in Colab" else "") + setup_cell(NOTEBOOKS[0])
    code += "\nimport ddpm_lib\nprint(ddpm_lib.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clone = ROOT if place == "inside the clone" else tmp_path.resolve() / "ddpm-from-scratch"
    assert done.stdout.strip() == str(clone / "ddpm_lib" / "__init__.py")
