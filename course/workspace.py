"""Write a learner's workspace: `make exercises`. The notebooks with the pieces blanked, and a library that is theirs to fill.

python -m course.workspace [FOLDER]     files that are there already are the learner's: they are kept
"""

import argparse
import ast
import json
import os
import shutil
import textwrap
from pathlib import Path

from course.check import pieces
from course.export import PACKAGE, module_texts
from course.lessons import ROOT, export_target, locate, modules, notebook_of, notebooks, own_module

README = """# Your workspace: rebuild ddpm_lib yourself

{count} pieces of the library are blank; the rest, the prose and the experiments are as in the series. Notebook 00 runs on the
finished library, to show where this leads. Then, from 01 on:

1. Open a notebook (`make workspace` in {clone}) and run it cell by cell. A blank piece says so where it is needed.
2. Replace its `raise NotImplementedError` by your own lines and run the cell; the cell below it says whether it is right, or
   which mistake it holds.
3. Run the notebook's last cell: it exports what you wrote into `ddpm_lib/` here, for the notebooks that follow.
4. `make grade` in {clone}, or `pytest` in this folder with that project's Python, says how far you are.

Running `make exercises` again keeps all files that are here. To begin a notebook anew, delete it and its module, and run it again.
"""
SHIM = '"""The course of the clone that wrote this workspace."""\n\nfrom pathlib import Path\n\n__path__ = [str((Path(__file__).parent / {course!r}).resolve())]\n'
CONFTEST = '"""pytest in this folder grades ddpm_lib, with the checks and the tests of the clone."""\n\npytest_plugins = ["course.grade"]\n'
PYTEST = "[pytest]\ntestpaths = ddpm_lib\npythonpath = .\naddopts = -q --tb=no -rN -p no:cacheprovider\n"
CHECK = 'from course.check import checks_for\n\ncheck = checks_for("{stem}")  # says whether it is right, or which mistake it holds\n{calls}'
YOURS = "**Your copy.** Here you write {names}. Run the cells from the top; where one says that something is yours to write, put your lines in place of its `raise NotImplementedError`, run it, and run the check below it. The last cell exports what you wrote."


def blank(source, name, hint):
    """The cell with the learner's part of a piece, from the line `#| blank` to `#| end` or the function's end, replaced by its hint
    and a NotImplementedError."""
    node, lines = locate(ast.parse(source), name), source.split("\n")
    marks = {line.strip(): k for k, line in enumerate(lines) if node.lineno <= k < node.end_lineno and "#|" in line}
    start, end = marks["#| blank"], marks.get("#| end", node.end_lineno)
    indent = " " * (len(lines[start]) - len(lines[start].lstrip()))
    number = next(home for piece, (_, home) in pieces().items() if piece == name)
    where = f"{name} is yours to write (notebook {notebook_of()[number].stem[:2]}, whose last cell exports it)"
    comments = [f"{indent}# {line}" for line in textwrap.wrap(f"Hint: {hint}", 92)]  # the width of a cell
    lines[start:end] = [*comments, f'{indent}raise NotImplementedError("{where}")']
    return "\n".join(lines)


def code_cell(id, source, metadata=None):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": id,
        "metadata": metadata or {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def without_badge(notebook):
    """A notebook, as JSON, without the lines of its first cell that open the solved one in Colab."""
    first, *others = notebook["cells"]
    lines = [line for line in first["source"] if "Open in Colab" not in line]
    return notebook | {"cells": [first | {"source": lines}, *others]}


def blanked(notebook, path):
    """A notebook, as JSON, for the learner: pieces blanked, each followed by a cell that checks it, and no outputs. `path` is the clone's."""
    cells, names = [], []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        source, here = "".join(cell["source"]), []
        if export_target(source) is not None:
            home = export_target(source) or own_module(path)  # another module may have a function of the same name
            here = [name for name, (_, module) in pieces().items() if module == home and locate(ast.parse(source), name)]
            for name in here:
                source = blank(source, name, pieces()[name][0].hint)
        cells.append(code_cell(cell["id"], source, cell["metadata"]))  # what only has to run stays folded
        names += here
        if here:
            calls = "\n".join(f'check("{name}")' for name in here)
            cells.append(code_cell(cell["id"] + "-check", CHECK.format(stem=path.stem, calls=calls)))
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        note = {"cell_type": "markdown", "id": "yours", "metadata": {}, "source": [YOURS.format(names=listed)]}
        cells.insert(1, note)  # below the title
    return notebook | {"cells": cells}


def is_whole(path):
    """Whether a notebook exports something that is not the learner's to write: it runs on the finished library."""
    return bool(modules(path)) and not any(module in modules(path) for _, module in pieces().values())


def on_the_reference(notebook, clone=ROOT):
    """A whole notebook: it looks for the library in the clone, and exports nothing."""
    text = json.dumps([cell for cell in notebook["cells"] if "export_from_kernel(" not in "".join(cell["source"])])
    return notebook | {
        "cells": json.loads(text.replace("here = Path.cwd()", f"here = Path({json.dumps(str(clone))[1:-1]!r})"))
    }


def write(path, text, report):
    """Write a file whole or not at all, and never over one that is there; `report` gathers what was done."""
    if path.exists():
        report["kept"].append(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    report["written"].append(path)


def link(workspace, folder):
    """A folder of the clone in the workspace: a link to it, or a copy of it where links can't be made."""
    if (workspace / folder).exists():
        return
    try:
        (workspace / folder).symlink_to(from_workspace(workspace, folder), target_is_directory=True)
    except OSError:
        shutil.copytree(ROOT / folder, workspace / folder)


def from_workspace(workspace, name):
    """Where something of the clone lies, as seen from the workspace: relative if that is inside the clone."""
    inside = workspace.is_relative_to(ROOT)
    return os.path.relpath(ROOT / name, workspace) if inside else str(ROOT / name)


def export_missing(path, target, library, report):
    """Export from the workspace's notebook `target` what the library lacks of it; `path` is the clone's own notebook."""
    wanted = [library / f"{name}.py" for name in modules(path)]
    whole = is_whole(path) or all(module.exists() for module in wanted)
    try:
        texts = module_texts(path if whole else target)
    except (SyntaxError, ValueError) as error:
        raise SystemExit(f"{target} can't be exported, {error}: mend it, or delete it to begin it anew") from error
    for module in wanted:
        write(module, texts[module.stem], report)


def write_workspace(workspace):
    """Write what the workspace lacks; returns the paths that were "written" and "kept"."""
    workspace, report = Path(workspace).resolve(), {"written": [], "kept": []}
    if workspace == ROOT or (workspace / ".git").exists():
        raise SystemExit(f"{workspace} is a repository: choose another folder")
    workspace.mkdir(parents=True, exist_ok=True)
    for path in notebooks():
        notebook = without_badge(json.loads(path.read_text(encoding="utf-8")))
        target = workspace / "notebooks" / path.name
        notebook = on_the_reference(notebook) if is_whole(path) else blanked(notebook, path)
        write(target, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", report)
        export_missing(path, target, workspace / "ddpm_lib", report)
    write(workspace / "ddpm_lib" / "__init__.py", PACKAGE, report)
    write(workspace / "course.py", SHIM.format(course=from_workspace(workspace, "course")), report)
    write(workspace / "conftest.py", CONFTEST, report)
    write(workspace / "pytest.ini", PYTEST, report)
    write(workspace / "README.md", README.format(count=len(pieces()), clone=ROOT), report)
    link(workspace, "data")
    return report


def main():
    parser = argparse.ArgumentParser(prog="python -m course.workspace", description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "workspace")
    folder = parser.parse_args().folder
    report = write_workspace(folder)
    print(
        f"{folder}: {len(pieces())} pieces to write; {len(report['written'])} files written, {len(report['kept'])} kept"
    )


if __name__ == "__main__":
    main()
