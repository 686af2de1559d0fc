"""Which lessons there are and what each exports, read from the notebooks themselves: nothing else keeps a list of them."""

import ast
import importlib.util
import json
import re
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"  # what the notebooks cite
APPENDIX = 98  # lessons from this number on stand outside the reading order


def notebooks(root=ROOT):
    """The notebooks of all lessons, in reading order, the appendices last."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def is_appendix(notebook):
    return int(notebook.stem[:2]) >= APPENDIX


def cells_of(notebook):
    """A notebook's cells, as JSON."""
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def code_of(notebook):
    """The sources of a notebook's code cells by the index of the cell."""
    cells = enumerate(cells_of(notebook))
    return {k: "".join(cell["source"]).replace("\r\n", "\n") for k, cell in cells if cell["cell_type"] == "code"}


def code_cells(notebook):
    """The sources of a notebook's code cells."""
    return list(code_of(notebook).values())


def title(notebook):
    """A notebook's title, without the `# `."""
    return "".join(cells_of(notebook)[0]["source"]).split("\n")[0].removeprefix("# ")


def description(notebook):
    """What a notebook is about in one sentence: the `> …` line under its title."""
    prose = "\n".join("".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "markdown")
    found = re.search(r"^> (.+)$", prose, re.MULTILINE)
    return found.group(1).strip() if found else ""


def export_target(source):
    """The module named by a cell's `#| export`: "" for the notebook's own, None for a cell that is not exported."""
    directive = re.match(r"#\|\s*export\b[ \t]*(\w*)", source)
    return directive.group(1) if directive else None


def own_module(notebook):
    """The module that a notebook's `#| default_exp` names, or None."""
    found = re.search(r"^#\|\s*default_exp (\w+)", "\n".join(code_cells(notebook)), re.MULTILINE)
    return found and found.group(1)


def exported_cells(notebook):
    """`(module, source)` of every exported cell."""
    own = own_module(notebook)
    cells = [(export_target(source), source) for source in code_cells(notebook)]
    return [(target or own, source) for target, source in cells if target is not None]


def modules(notebook):
    """The modules that a notebook exports, in the order of their first cells."""
    return list(dict.fromkeys(module for module, _ in exported_cells(notebook)))


def locate(tree, name):
    """The function of a name, `noise_step` or `NoiseSchedule.posterior`, in a module's or a cell's tree; None if it is not there."""
    owner, _, function = name.rpartition(".")
    bodies = [c.body for c in tree.body if isinstance(c, ast.ClassDef) and c.name == owner] if owner else [tree.body]
    found = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef) and node.name == function]
    return found[0] if found else None


def module_defining(notebook, name):
    """The module into which a notebook exports a function."""
    return next(module for module, source in exported_cells(notebook) if locate(ast.parse(source), name))


@lru_cache(maxsize=1)
def notebook_of(root=ROOT):
    """The notebook that exports each module, by the module's name."""
    return {module: notebook for notebook in notebooks(root) for module in modules(notebook)}


@lru_cache
def checks_of(stem):
    """`checks/STEM.py`, what belongs to a lesson's exercises, as a module; None where a lesson has none."""
    path = ROOT / "checks" / f"{stem}.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"checks.{stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
