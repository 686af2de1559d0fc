"""Write what is repeated about the lessons wherever it stands, from its one source: `make badges`.

The repository's address (`Repository` in pyproject.toml): the setup cell of every notebook, which Colab clones, and the badge
under its title. How long a notebook takes its reader: a sentence in its head. Between markers, `<!-- name -->` and `<!-- /name -->`: the
README's ways to read and its table of notebooks, and the tree of CONTRIBUTING.

python -m course.tables [--check]     --check writes nothing, and fails if something is out of step
"""

import ast
import json
import re
import subprocess
import sys
import tomllib

from course.lessons import ROOT, description, is_appendix, modules, notebooks
from course.road import measure, with_sentence

COLAB = "https://colab.research.google.com/github"
BADGE = re.compile(r"\n\[!\[Open in Colab\][^\n]*\n")
EVENING = ("00", "01", "02", "05", "06")  # the roads that lead from a picture to noise and back, and nowhere else
ROOMS = {  # what each entry of the repository is for
    "README.md": "what it is, how to start, the table of notebooks",
    "CONTRIBUTING.md": "how to change something: this page",
    "LICENSE": "MIT",
    "Makefile": "every command; `make help` lists them",
    "pyproject.toml": "the package, its dependencies with their bounds, the repository's address",
    "constraints.txt": "the pins of all dependencies",
    "environment.yml": "the same installation by conda, mamba or Binder",
    "notebooks/": "`NN_name.ipynb`: the source of truth, in reading order; the appendices 98 and 99 stand outside it",
    "ddpm_lib/": "the library, exported from the notebooks, never edited by hand",
    "checks/": "`NN_name.py` beside each notebook: how its pieces and exercises are tried, which mistakes are known",
    "data/": "Fashion-MNIST, the checkpoints, and a README that says where each comes from",
    "tests/": "`library/`: a `test_<module>.py` for each module; `course/`: export, notebooks, exercises, the repository's promises; "
    "`browser/`: JupyterLab, Notebook 7, Colab's versions, the pages",
    "benchmarks/": "`NN_name.py`: what lesson NN cites, into `results/`; `speed/`: the race beside named peers; `artefacts/`: what makes "
    "`data/` and the README's picture",
    "course/": "the machinery",
    "docs/": "the rendered book: Sphinx's settings, its builder, pages, style, script, pictures",
}


def repository_address(root=ROOT):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def colab_address(address, name):
    """Where Colab opens the notebook `name`."""
    return f"{COLAB}/{address.removeprefix('https://github.com/')}/blob/main/notebooks/{name}.ipynb"


def with_badge(source, address, name):
    """A notebook's first cell with the badge below its title and its description."""
    badge = f"[![Open in Colab](../docs/open-in-colab.svg)]({colab_address(address, name)})"
    title, description, rest = re.match(
        r"(# [^\n]+\n)\s*(> [^\n]+\n)\s*(.*)", BADGE.sub("", source), re.DOTALL
    ).groups()
    return f"{title}\n{description}\n{badge}\n\n{rest}"


def with_address(setup, address):
    """The setup cell, cloning from `address` into a folder of the repository's name."""
    setup = re.sub(r'"https://github\.com/[^"]+"', f'"{address}"', setup)
    return re.sub(r'(Path\(|here / )"[\w.-]+"', rf'\1"{address.split("/")[-1]}"', setup)


def notebook_text(path, address):
    """The text of a notebook file with the badge and the address in their places."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    setup = next(cell for cell in cells if cell["cell_type"] == "code")
    for cell, text in (
        (cells[0], with_badge(with_sentence("".join(cells[0]["source"]), path), address, path.stem)),
        (setup, with_address("".join(setup["source"]), address)),
    ):
        cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def between(text, name, content):
    """The text with `content` between the markers of that name."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"there is no block {start.strip()} … {end}")
    return f"{before}{start}{content}\n{end}{after}"


def run_times(root):
    """The seconds that each notebook took when all were last timed, by name."""
    path = root / "benchmarks" / "results" / "speed_notebooks.json"
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else {}


def lessons_table(root):
    """A row for each notebook: where it is, what it builds and exports, how long it runs."""
    address, times = repository_address(root), run_times(root)
    rows = ["| notebook | what it builds | exports | the road | with everything deeper | runs in |", "|---|---|---|---|---|---|"]
    for path in notebooks(root):
        exports = ", ".join(f"`{module}`" for module in modules(path)) or "nothing"
        seconds = f"{times[path.stem]} s" if path.stem in times else "–"
        link = f"[{path.stem}](notebooks/{path.name}) ([Colab]({colab_address(address, path.stem)}))"
        road, whole = (f"{counted['minutes']} min" for counted in measure(path).values())
        rows.append(f"| {link} | {description(path)} | {exports} | {road} | {whole} | {seconds} |")
    return "\n".join(rows)


def hours(minutes):
    """Minutes in words, to the half hour."""
    return f"about {max(2, round(minutes / 30)) / 2:g} hours"


def ways(root=ROOT, folder="notebooks/"):
    """How to read the series, as a list: which notebooks, and how long it takes, by their measured minutes. Links lead into `folder`."""
    lessons = {path.stem[:2]: path for path in notebooks(root) if not is_appendix(path)}
    counted = {number: measure(path) for number, path in lessons.items()}
    first, last = min(lessons), max(lessons)
    *some, end = [f"[{number}]({folder}{lessons[number].name})" for number in EVENING if number in lessons]
    evening, weekend, whole = (
        hours(sum(counted[number][what]["minutes"] for number in numbers if number in lessons))
        for numbers, what in ((EVENING, "road"), (lessons, "road"), (lessons, "whole"))
    )
    return f"""- **One evening**, {evening}: the roads of {", ".join(some)} and {end}.
  You sink a picture in noise, train a network to tell the noise, and walk back. What the network is made of, you take on trust.
- **One weekend**, {weekend}: all roads, {first} to {last}, in order.
- **All of it**, {whole} and your time at the exercises: everything deeper too, and the library written by yourself."""


def entries(root):
    """The entries of the repository's top folder, as git sees them, without those that begin with a dot."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    names = {line.partition("/")[0] + "/" * ("/" in line) for line in listed.stdout.splitlines()}
    return {name for name in names if not name.startswith(".")} if not listed.returncode else set(ROOMS)


def tree(root):
    """The repository's entries, each with what it is for, and the modules of `course/` with their first sentence."""
    if unknown := entries(root) - set(ROOMS):
        raise ValueError(f"say in ROOMS (course/tables.py) what these are for: {', '.join(sorted(unknown))}")
    lines = []
    for name, purpose in ROOMS.items():
        lines.append(f"- `{name}`: {purpose}")
        for module in sorted((root / name).glob("[a-z]*.py")) if name == "course/" else ():
            first = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))).split("\n")[0]
            lines.append(f"  - `{module.name}`: {first}")
    return "\n".join(lines)


def texts(root=ROOT):
    """What every file should hold, by path."""
    address = repository_address(root)
    found = {path: notebook_text(path, address) for path in notebooks(root)}
    for name, blocks in (("README.md", {"ways": ways, "lessons": lessons_table}), ("CONTRIBUTING.md", {"tree": tree})):
        text = (root / name).read_text(encoding="utf-8")
        for block, content in blocks.items():
            text = between(text, block, content(root))
        found[root / name] = text
    return found


def main():
    changed = {path: text for path, text in texts().items() if path.read_text(encoding="utf-8") != text}
    for path, text in changed.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of step' if '--check' in sys.argv else 'written'}")
    sys.exit(bool(changed) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
