"""Execute notebooks in clean kernels and store their outputs, without what differs from machine to machine: `make notebooks`.

python -m course.execute [--clean] [NOTEBOOK ...]     --clean only cleans, and executes nothing
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from course.lessons import notebooks
from course.road import HIDDEN, tagged

QUIET = {"DDPM_NO_EXPORT": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def execute(path):
    """Run a notebook from top to bottom in a new kernel; returns it with its outputs, cleaned."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=os.environ | QUIET)
    return clean(notebook)


WIDGET = "application/vnd.jupyter.widget-view+json"


def is_fleeting(output):
    """Whether an output is a widget without a still picture, or a piece of a progress bar, which rewrites its line."""
    widget = WIDGET in output.get("data", {}) and "text/html" not in output.data
    return widget or (output.get("name") == "stderr" and ("\r" in output.text or not output.text.strip()))


def merge_streams(outputs):
    """Join neighbouring prints: how a kernel cuts them up depends on the moment."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def hide_source(cell):
    """Fold the source of a cell with the tag `hide-input` in JupyterLab and in Colab (the pages know the tag), and of no other."""
    for key in ("jupyter", "cellView"):
        cell["metadata"].pop(key, None)
    if cell["cell_type"] == "code" and tagged(cell, HIDDEN):
        cell["metadata"] |= {"jupyter": {"source_hidden": True}, "cellView": "form"}


def clean(notebook):
    """Drop what depends on the machine or the moment, and fold what only has to run."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        hide_source(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_fleeting(output)]
            cell.outputs = merge_streams(cell.outputs)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # blank without its kernel: its still picture stays
            if "image/png" in output.get("data", {}):
                output.data.pop("text/plain", None)  # "<Figure size … with 2 Axes>" says nothing
    return notebook


def main():
    paths = [Path(p) for p in sys.argv[1:] if p != "--clean"] or notebooks()
    for path in paths:
        start = time.perf_counter()
        notebook = clean(nbformat.read(path, as_version=4)) if "--clean" in sys.argv else execute(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
