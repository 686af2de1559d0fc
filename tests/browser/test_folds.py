"""What a page folds, sections for those who ask and sources that only have to run, and what stands in for a scrubber on paper and without
scripts: on a small book of their own, staged and built as the real one is."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading

import pytest
import torch
from conftest import ROOT
from test_pages import QuietHandler, Visit, serious

from course.lessons import notebooks
from ddpm_lib.viz import scrub
from docs.build import stage_notebook

LONG = "one_long_line = [" + ", ".join(map(str, range(60))) + "]"
TABLE = "| " + " | ".join(f"column {k}" for k in range(12)) + " |\n" + "|---" * 12 + "|\n" + "| 0.123456 " * 12 + "|"
ROAD = """## The road

Here a question comes up: [why so?](#Deeper:-why-T-=-3,-and-not-Fréchet?) It has <a href="#a-word-inside">a word</a> inside. There is [another](#Deeper:-another-question).

$$x_t = \\sqrt{\\bar\\alpha_t}\\, x_0 + \\sqrt{1 - \\bar\\alpha_t}\\, \\epsilon.$$"""
DEEPER = f"""### Deeper: why T = 3, and not Fréchet?

This is for those who ask about [the road](#The-road). The word is zweifelsohne.

{TABLE}

<span id="a-word-inside"></span>

Here it is."""


def cell(source, *tags, outputs=None):
    kind = "markdown" if outputs is None else "code"
    made = {"cell_type": kind, "id": "x", "metadata": {"tags": list(tags)}, "source": source.splitlines(keepends=True)}
    return made | ({"outputs": outputs, "execution_count": 1} if kind == "code" else {})


def printed(text):
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def toy_cells():
    scrubber = scrub(
        torch.linspace(-1, 1, 21)[:, None, None].expand(21, 28, 28), [f"t = {t}" for t in range(21)], "Greys"
    ).data
    shown = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": scrubber}}]
    return [
        cell("# A toy\n\n> A page with folds."),
        cell("setup = True", outputs=[]),
        cell(ROAD),
        cell("scrub(frames, labels)", outputs=shown),
        cell(f"only_has_to_run = True\n{LONG}", "hide-input", outputs=printed("what it printed stays in sight")),
        cell("## Deeper", "deeper"),
        cell(DEEPER, "deeper"),
        cell(f"asked = True\n{LONG}", "deeper", outputs=printed("an answer")),
        cell("### Deeper: another question\n\nAlso about [the road](#The-road).", "deeper"),
        cell("also_folded = True", "deeper", "hide-input", outputs=[]),
    ]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    notebook, book, site = folder / "01_toy.ipynb", folder / "book", folder / "site"
    content = json.loads(notebooks()[0].read_text(encoding="utf-8"))
    notebook.write_text(json.dumps(content | {"cells": toy_cells()}), encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "_static", book / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", book)
    (book / "where_built.json").write_text("{}")
    (book / "index.md").write_text("# Toys\n\n[Straight to it](01_toy.ipynb)\n\n```{toctree}\n01_toy\n```\n")
    stage_notebook(notebook, book)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(book), str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """The toy's page in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 844}, reduced_motion="reduce")
    with Visit(context, address, "01_toy", unfold=False) as visit:
        yield visit
        assert not visit.faults, visit.faults
    context.close()


def open_folds(page):
    return page.evaluate("[...document.querySelectorAll('details.deeper')].map(fold => fold.open)")


def in_sight(page, selector):
    """Whether it comes into sight: the page scrolls a moment later."""
    top = f"document.querySelector('{selector}').getBoundingClientRect().top"
    page.wait_for_function(f"{top} >= 0 && {top} < innerHeight", timeout=5000)
    return True


def test_deeper_sections_are_closed_at_first_and_open_by_hand(visit):
    page = visit.page
    assert open_folds(page) == [False, False]
    assert page.get_by_role("heading", name="Deeper: why T = 3").is_visible(), "the heading is always there"
    assert not page.get_by_text("The word is zweifelsohne").is_visible()
    page.locator("details.deeper > summary").first.press("Enter")
    assert open_folds(page) == [True, False] and page.get_by_text("The word is zweifelsohne").is_visible()


INSIDE = "#a-word-inside"


@pytest.mark.parametrize("link, target", [("why so?", "#deeper-why-t-3-and-not-frechet"), ("a word", INSIDE)])
def test_a_link_opens_what_it_leads_to(link, target, visit):
    page = visit.page
    for _ in range(2):  # the second time the address does not change
        page.get_by_role("link", name=link, exact=True).click()
        page.wait_for_function("document.querySelector('details.deeper').open")
        assert open_folds(page) == [True, False] and in_sight(page, target)
        page.locator("details.deeper > summary").first.evaluate("summary => summary.click()")
        assert open_folds(page) == [False, False]


def test_an_address_and_the_contents_open_what_they_lead_to(visit, address):
    page = visit.page
    page.goto(f"{address}/index.html")
    page.goto(f"{address}/01_toy.html#a-word-inside")
    assert open_folds(page) == [True, False] and in_sight(page, INSIDE)
    page.locator(".toc-tree a", has_text="Deeper: another question").evaluate("link => link.click()")
    page.wait_for_function("[...document.querySelectorAll('details.deeper')].at(-1).open")
    assert open_folds(page) == [True, True]


def test_the_search_opens_what_holds_its_word(visit, address):
    page = visit.page
    page.goto(f"{address}/01_toy.html?highlight=zweifelsohne")
    assert open_folds(page) == [True, False]
    page.locator("span.highlighted").wait_for()
    page.goto(f"{address}/index.html")
    page.get_by_placeholder("Search").fill("zweifelsohne")
    page.keyboard.press("Enter")
    page.locator("#search-results a").first.click()
    page.locator("span.highlighted").wait_for()
    assert open_folds(page) == [True, False] and page.get_by_text("The word is zweifelsohne").is_visible()


@pytest.mark.parametrize("way", ["media", "event"])
def test_paper_has_every_section(way, visit):
    page = visit.page
    page.locator("details.deeper > summary").last.press("Enter")
    begins, ends = {
        "media": (lambda: page.emulate_media(media="print"), lambda: page.emulate_media(media="screen")),
        "event": [
            lambda name=name: page.evaluate(f"dispatchEvent(new Event('{name}'))")
            for name in ("beforeprint", "afterprint")
        ],
    }[way]
    begins()
    page.wait_for_function("[...document.querySelectorAll('details.deeper')].every(fold => fold.open)")
    ends()
    page.wait_for_function("!document.querySelector('details.deeper').open")
    assert open_folds(page) == [False, True], "what was open before stays open"


def test_a_source_that_only_has_to_run_is_folded_and_its_output_is_not(visit):
    page = visit.page
    fold = page.locator("details.fold", has_text="only_has_to_run")
    assert fold.locator("summary").inner_text() == "Show the code"
    assert not fold.locator("pre").is_visible() and page.get_by_text("what it printed stays in sight").is_visible()
    fold.locator("summary").press("Enter")
    assert fold.locator("pre").is_visible()
    page.get_by_role("link", name="another", exact=True).evaluate("link => link.click()")  # no pointer: the page may still be scrolling
    page.wait_for_function("[...document.querySelectorAll('details.deeper')].at(-1).open")  # the address changes a moment later
    inner = page.locator("details.deeper details.fold")
    assert inner.locator("summary").is_visible() and not inner.locator("pre").is_visible()


def stills(page):
    """The stills of the scrubber that are drawn: their widths and texts."""
    return page.evaluate("""async () => {
        const drawn = [...document.querySelectorAll('.stills img')].filter(still => still.getClientRects().length);
        await Promise.all(drawn.map(still => still.decode()));
        return drawn.map(still => [still.getBoundingClientRect().width, still.alt]) }""")


def test_stills_stand_in_for_the_scrubber_in_print(visit):
    page = visit.page
    assert stills(page) == [] and page.locator(".scrubber iframe").is_visible()
    assert not any("pictures/" in url for url in visit.asked), "who can drag does not load them"
    page.emulate_media(media="print")
    drawn = stills(page)
    assert (
        len(drawn) == 8
        and min(width for width, _ in drawn) >= 110
        and not page.locator(".scrubber iframe").is_visible()
    )
    assert drawn[0][1] == "Greys: t = 0 (still 1 of 8)" and drawn[-1][1].startswith("The same: t = 20")


def test_stills_are_printed_though_nobody_scrolled_to_them(visit):
    """As the printer gets it: pictures far below, which were never loaded, are in the file."""
    visit.page.locator(".scrubber").evaluate(
        "box => box.insertAdjacentHTML('beforebegin', '<div style=\"height: 9000px\"></div>')"
    )
    visit.page.emulate_media(media="print")
    visit.page.wait_for_function("[...document.querySelectorAll('.stills img')].every(i => i.complete && i.naturalWidth)")
    pdf = visit.page.pdf()
    assert len(re.findall(rb"/Subtype\s*/Image", pdf)) >= 8


@pytest.mark.parametrize("width", [1280, 390])
def test_without_scripts_there_are_stills_and_folds_that_open(width, browser, address):
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(f"{address}/01_toy.html")
    boxes = [still.bounding_box() for still in page.locator(".stills img").all()]
    assert len(boxes) == 8 and all(box["width"] >= 110 and box["x"] + box["width"] <= width for box in boxes)
    assert len({box["y"] for box in boxes}) > 1 or width > 390, "in rows"
    assert not page.locator(".scrubber iframe").is_visible()
    page.locator("details.deeper > summary").first.click()
    assert page.get_by_text("The word is zweifelsohne").is_visible()
    context.close()


@pytest.mark.parametrize("opened", [False, True])
def test_a_phone_never_scrolls_sideways(opened, browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce")
    with Visit(context, address, "01_toy", unfold=False) as visit:
        visit.page.evaluate(
            "opened => document.querySelectorAll('details').forEach(fold => (fold.open = opened))", opened
        )
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        outside = visit.page.evaluate("""() => [...document.querySelectorAll('article :is(p, li, summary, h3, img)')].filter(
            e => !e.closest('.table-wrapper, pre') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)""")
        assert not outside
        if opened:
            scroll = visit.page.locator("details.deeper pre").first.evaluate(
                "pre => [pre.scrollWidth > pre.clientWidth, pre.tabIndex]"
            )
            assert scroll == [False, -1], "a long line is broken, and nothing is left to scroll"
        assert not visit.faults, visit.faults
    context.close()


@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_no_serious_violation_in_folds(opened, visit):
    visit.page.evaluate("opened => document.querySelectorAll('details').forEach(fold => (fold.open = opened))", opened)
    for theme in ("light", "dark"):
        visit.page.evaluate("theme => (document.body.dataset.theme = theme)", theme)
        assert serious(visit.page) == []
