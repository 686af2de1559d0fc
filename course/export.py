"""Notebooks -> `ddpm_lib`: `make export`, and the re-export from a running kernel. One mechanism serves both.

The directives are nbdev's: `#| default_exp schedule` names the module of a notebook, a cell that starts with `#| export` goes
into it, and one with `#| export metrics` into the module `metrics`. One addition: a cell `class X(X):` continues the class X of an
earlier cell, in the kernel by inheritance, and in the module as more of the same class body.
"""

import ast
import os
import re
import sys
from pathlib import Path

from course.lessons import ROOT, description, export_target, exported_cells, notebooks, own_module

PACKAGE = (
    '"""DDPM from scratch: a small diffusion library, exported from the notebooks that build it. See README.md."""\n'
)
COMMAND = '''"""`python -m ddpm_lib`: the command line of notebooks/98_command_line.ipynb."""

if __name__ == "__main__":  # not where a worker process imports this file again
    import time

    start = time.perf_counter()  # torch, below, takes seconds to import

    from ddpm_lib.cli import main

    main(start=start)
'''


def defined_names(source):
    """What a cell defines: functions, classes, imported and assigned names; `X.method` for a cell that continues class X."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == node.name for base in node.bases
        ):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {"import " + (alias.asname or alias.name) for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def join_cells(sources):
    """Join cells into a module's code, two blank lines apart, with every continued class in one piece."""
    joined = []
    for source in sources:
        source = re.sub(r"^ *#\|.*\n?", "", source, flags=re.MULTILINE).strip("\n")
        continued = re.match(r"class (\w+)\(\1\):\n", source)
        if not continued:
            joined.append(source)
            continue
        for k, earlier in enumerate(joined):
            for node in ast.parse(earlier).body:
                if isinstance(node, ast.ClassDef) and node.name == continued.group(1):
                    lines = earlier.split("\n")
                    lines[node.end_lineno : node.end_lineno] = ["", source[continued.end() :]]
                    joined[k] = "\n".join(lines)
    return "\n\n\n".join(joined)


def module_texts(notebook, ran=()):
    """The text of every module that a notebook exports, by module name.

    `ran` holds the sources that a kernel ran, oldest first: the latest that defines the same names takes a cell's place, and
    an exported cell which the file does not have yet is added at the end.
    """
    own, cells = own_module(notebook), exported_cells(notebook)
    for source in ran:
        if export_target(source) is None:
            continue
        try:
            names = defined_names(source)
        except SyntaxError:
            continue
        module = export_target(source) or own
        shared = [names & defined_names(cell) if name == module else set() for name, cell in cells]
        if any(shared):
            cells[max(range(len(cells)), key=lambda k: len(shared[k]))] = module, source
        elif names:
            cells.append((module, source))
    texts = {}
    for name in dict.fromkeys(module for module, _ in cells):
        code = join_cells(source for module, source in cells if module == name)
        head = f'"""{description(notebook)}"""\n\n' if name == own else ""
        texts[name] = f"# Exported from notebooks/{notebook.name}: edit the notebook, not this file.\n{head}{code}\n"
    return texts


def export_all(root=ROOT):
    """The texts of the whole package, by path."""
    texts = {root / "ddpm_lib" / "__init__.py": PACKAGE, root / "ddpm_lib" / "__main__.py": COMMAND}
    for notebook in notebooks(root):
        texts |= {root / "ddpm_lib" / f"{name}.py": text for name, text in module_texts(notebook).items()}
    return texts


def out_of_step(texts):
    """Those paths whose file does not hold its text."""
    return [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def kernel_texts(name):
    """The texts of the modules of notebook `name`, by path, as this kernel ran its cells, saved or not."""
    from IPython import get_ipython

    import ddpm_lib

    root = Path(ddpm_lib.__file__).resolve().parent.parent  # of the library that this kernel imports
    history = get_ipython().history_manager.input_hist_raw
    try:
        texts = module_texts(root / "notebooks" / f"{name}.ipynb", history)
    except SyntaxError as error:
        where = (error.text or "").strip()
        raise SyntaxError(f"{name}.ipynb, as last saved, has a syntax error at `{where}`: mend and save it") from None
    return {root / "ddpm_lib" / f"{module}.py": text for module, text in texts.items()}


def export_from_kernel(name):
    """Export notebook `name` as this kernel ran it. Nothing is written by tests, nor if the code does not run."""
    try:
        texts = kernel_texts(name)
    except SyntaxError as error:
        print(f"not exported: {error}")
        return
    changed = out_of_step(texts)
    for path, text in texts.items():
        shown = f"ddpm_lib/{path.name}"
        try:
            exec(compile(text, shown, "exec"), {"__name__": f"ddpm_lib.{path.stem}"})
        except Exception as error:
            print(f"{shown}: not exported, for the code in this kernel fails: {type(error).__name__}: {error}")
            continue
        if path not in changed:
            print(f"{shown}: in step with this notebook")
        elif "DDPM_NO_EXPORT" in os.environ or "PYTEST_CURRENT_TEST" in os.environ:
            print(f"{shown}: differs from this notebook (not written: exporting is switched off)")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{shown}: written from this notebook; restart other kernels to import it")


def main():
    texts = export_all()
    changed = out_of_step(texts)
    if "--check" not in sys.argv:
        for path in changed:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
    for path in changed:
        print(f"{path.relative_to(ROOT)}: {'out of step' if '--check' in sys.argv else 'written'}")
    sys.exit(bool(changed) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
