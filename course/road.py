"""How long a notebook is for its reader: words, cells and lines of its road and of the whole, and the minutes they take. `python -m course.road` prints them.

The road is what every reader needs; the cells with the tag `deeper`, a chapter after the recap, are for those who ask. Not counted: formulas,
links' addresses, captions, folded solutions, the setup cell, exported cells, and cells with the tag `hide-input`, whose source only has to run.
"""

import re

from course.lessons import cells_of, export_target, notebooks

DEEPER, HIDDEN = "deeper", "hide-input"
BOUNDS = {"words": 1500, "cells": 24, "lines": 150, "longest": 20}  # of a road
LONGER = "It is longer than most, because"  # with this, a notebook's head says why its road is over a bound


def tagged(cell, tag):
    return tag in cell.get("metadata", {}).get("tags", [])


def prose(source):
    """The words of a markdown cell that one reads."""
    source = re.sub(r"<details>.*?</details>|```.*?```|\$\$.*?\$\$|\$[^$]*\$|!?\[!\[.*", " ", source, flags=re.DOTALL)
    source = re.sub(r"\]\([^)]*\)|<[^>]*>|`[^`]*`", " ", source)
    return re.findall(r"[A-Za-z][\w'’-]*", source)


def code_lines(source):
    """The lines of a code cell that one reads: no empty ones, no captions."""
    source = re.sub(r"^show_figure\(.*?\)\s*$", "", source, flags=re.DOTALL | re.MULTILINE)
    return [line for line in source.splitlines() if line.strip()]


def is_read(source):
    """Whether a code cell is one that a reader reads: not the setup, not a directive, not exported."""
    return not source.startswith(("# Setup:", "#| default_exp")) and export_target(source) is None


def count(cells):
    """Words, code cells, their lines, and the longest of them."""
    words = sum(len(prose("".join(cell["source"]))) for cell in cells if cell["cell_type"] == "markdown")
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code" and not tagged(cell, HIDDEN)]
    lines = [len(code_lines(source)) for source in sources if is_read(source)]
    return {"words": words, "cells": len(lines), "lines": sum(lines), "longest": max(lines, default=0)}


def minutes(counted):
    """Reading time: least squares on thirteen readings, notebooks 00 to 06 before there was a road (60 to 140 minutes) and six roads (30 to 65)."""
    return 0.0162 * counted["words"] + 0.139 * counted["lines"]


def measure(notebook):
    """The counts of a notebook's road and of the whole, each with its minutes, rounded to five."""
    cells = cells_of(notebook)
    road = [cell for cell in cells if not tagged(cell, DEEPER)]
    found = {"road": count(road), "whole": count(cells)}
    for counted in found.values():
        counted["minutes"] = max(5, 5 * round(minutes(counted) / 5))
    return found


def over(counted):
    """The bounds that a road is over."""
    return [name for name, bound in BOUNDS.items() if counted[name] > bound]


def sentence(notebook):
    """What a notebook's head says of its length."""
    found = measure(notebook)
    road, whole = found["road"], found["whole"]
    text = f"**The road** takes about {road['minutes']} minutes"
    return text + (f", with everything deeper about {whole['minutes']}." if road != whole else ".")


def with_sentence(head, notebook):
    """A notebook's first cell with that sentence in the place of the old one."""
    return re.sub(r"\*\*The road\*\* takes about [^.\n]*\.", sentence(notebook), head)


def main():
    print(f"{'':26}{'road: words':>12} cells lines longest min{'whole: words':>15} cells lines   min")
    for notebook in notebooks():
        road, whole = measure(notebook).values()
        marks = "  over: " + ", ".join(over(road)) if over(road) else ""
        print(f"{notebook.stem:26}{road['words']:12,} {road['cells']:5} {road['lines']:5} {road['longest']:7} {road['minutes']:3}"
              f"{whole['words']:15,} {whole['cells']:5} {whole['lines']:5} {whole['minutes']:5}{marks}")  # fmt: skip


if __name__ == "__main__":
    main()
