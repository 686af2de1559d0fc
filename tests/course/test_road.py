"""A notebook has a road, which every reader goes, and a chapter at its end for those who ask: what one may rely on about both."""

import ast
import re

import pytest
from conftest import ROOT

from course.lessons import cells_of, is_appendix, modules, notebooks
from course.road import BOUNDS, DEEPER, HIDDEN, LONGER, count, measure, over, tagged

LESSONS = [path for path in notebooks() if not is_appendix(path)]
by_name = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def sources(cells, kind="markdown"):
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def headings(path):
    """The addresses of a notebook's headings, as JupyterLab makes them."""
    found = re.findall(r"^#+ (.+?)\s*$", "\n".join(sources(cells_of(path))), re.MULTILINE)
    return [heading.replace(" ", "-") for heading in found]


@by_name
def test_what_is_deeper_stands_after_the_road(path):
    """So running a notebook from the top runs its road without any deeper cell; whoever stops there has run all that the road needs."""
    deeper = [tagged(cell, DEEPER) for cell in cells_of(path)]
    assert deeper == sorted(deeper), "a cell of the road after a deeper one"
    if any(deeper):
        chapter = "".join(cells_of(path)[deeper.index(True)]["source"])
        assert chapter.startswith("## Deeper"), "the chapter has its heading"
        road = sources([cell for cell in cells_of(path) if not tagged(cell, DEEPER)], "code")
        assert "export_from_kernel(" in road[-1] or not modules(path), "the road ends with the export"


@by_name
def test_every_deeper_section_is_reached_from_the_road_and_leads_back(path):
    road, deeper = ([c for c in cells_of(path) if tagged(c, DEEPER) is deep] for deep in (False, True))
    on_the_road = "\n".join(sources(road))
    sections = re.split(r"^### ", "\n".join(sources(deeper)), flags=re.MULTILINE)[1:]
    for section in sections:
        title, text = section.split("\n", 1)
        assert title.startswith("Deeper: "), title
        assert f"](#{title.strip().replace(' ', '-')})" in on_the_road, f"no link from the road to {title}"
        back = [link for link in re.findall(r"\]\(#([^)]+)\)", text) if not link.startswith("Deeper:")]
        assert back, f"no link back from {title}"


@by_name
def test_links_lead_to_headings(path):
    for stem, link in re.findall(r"\]\(([\w.]*)#([^)]+)\)", "\n".join(sources(cells_of(path)))):
        other = ROOT / "notebooks" / stem if stem else path
        assert link in headings(other), f"{path.stem}: no heading {link} in {other.name}"


@by_name
def test_a_road_can_be_walked_in_an_evening_or_says_why_not(path):
    counted = measure(path)["road"]
    if not any(tagged(cell, DEEPER) for cell in cells_of(path)):
        pytest.skip("not divided yet")
    too_long = over(counted)
    said = LONGER in "".join(cells_of(path)[0]["source"])
    assert bool(too_long) == said, f"{counted} against {BOUNDS}"


@by_name
def test_a_source_is_folded_in_all_three_places_or_in_none(path):
    """By the tag alone: `python -m course.execute --clean` writes what JupyterLab and Colab want."""
    for cell in cells_of(path):
        folded = tagged(cell, HIDDEN)
        assert cell["metadata"].get("jupyter", {}).get("source_hidden", False) is folded, cell["id"]
        assert (cell["metadata"].get("cellView") == "form") is folded, cell["id"]


@by_name
def test_nothing_that_a_learner_fills_in_is_folded(path):
    for cell in cells_of(path):
        if tagged(cell, HIDDEN):
            source = "".join(cell["source"])
            assert not re.search(r"#\| blank|your code here|check\(", source), cell["id"]
            ast.parse(source)


def test_what_is_counted():
    """Prose without formulas, code and addresses; code without captions, exported and folded cells."""

    def cell(source, kind="code", tags=()):
        return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}

    text = "Two words, $x_t = y$ and [a link](where/it.md), `code` <details><summary>Solution</summary>hidden</details>"
    cells = [cell(text, "markdown"), cell("# Setup: not counted\nx = 1"), cell("#| export\ndef f():\n    pass")]
    cells += [cell("a = 1\n\nb = 2\nshow_figure(\n    'a caption')"), cell("c = 1\n" * 30, tags=["hide-input"])]
    assert count(cells) == {"words": 5, "cells": 1, "lines": 2, "longest": 2}
