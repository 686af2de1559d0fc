"""A real mouse in a real browser: in JupyterLab and in Notebook 7 the scrubber and the live figures follow it,
an untrusted notebook shows still pictures, and an edit that was never saved reaches the library.

The `browser` is in `conftest.py`: without a Chromium these tests are skipped.
"""

import json
import re

import pytest

from course.browser import (
    FRONTENDS,
    PICTURE,
    copy_repository,
    open_notebook,
    run_all,
    serving,
    switch_to,
    write_notebook,
)
from course.lessons import code_of, notebooks
from course.slices import cells_calling, sources_for

NOTEBOOKS = notebooks()
WITH_LIVE_FIGURES = [path for path in NOTEBOOKS if cells_calling(path, "live_figure")]


CELLS = [
    "import torch\nfrom ddpm_lib.viz import scrub\n"
    "scrub(torch.linspace(-1, 1, 21)[:, None, None].expand(21, 16, 16), [f't = {t}' for t in range(21)], caption='Greys')",
    "import ipywidgets\nfrom ddpm_lib.viz import live_figure\n"
    "def draw(figure, t):\n    figure.subplots().bar([0], [t])\n"
    "live_figure(draw, t=ipywidgets.IntSlider(value=1, min=0, max=100, description='t'))",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Jupyter server on a copy of the repository, with settings of its own; yields (address, folder)."""
    folder, own = copy_repository(tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("jupyter")
    # a notebook's cells are in the page from the beginning, not only when one scrolls to them
    settings = own / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with serving(folder, own) as address:
        yield address, folder


def drag(page, handle, dx):
    """Press on the middle of an element, move by dx and let go, as a hand would."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y, steps=4)
    page.mouse.move(x + dx, y, steps=4)
    page.mouse.up()


def drag_live_slider(page):
    """Drag the first slider of a live figure; returns when another picture has come."""
    picture = page.locator(PICTURE).first
    picture.scroll_into_view_if_needed(timeout=60_000)
    before = picture.get_attribute("src")
    handle, track = page.locator(".widget-slider .noUi-handle").first, page.locator(".widget-slider .noUi-base").first
    box, whole = handle.bounding_box(), track.bounding_box()
    to_the_right = box["x"] - whole["x"] < whole["width"] / 2
    drag(page, handle, 90 if to_the_right else -90)
    changed = "([picture, before]) => document.querySelector(picture).src !== before"
    page.wait_for_function(changed, arg=[PICTURE, before], timeout=60_000)


def close(page):
    """Close a page and stop its kernel."""
    page.evaluate("async () => await jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_scrubber_and_live_slider_follow_the_mouse(frontend, browser, server):
    address, folder = server
    setup = code_of(NOTEBOOKS[0])[min(code_of(NOTEBOOKS[0]))]
    write_notebook(folder / "notebooks" / "sliders.ipynb", [setup, *CELLS])
    page = open_notebook(browser, address, "sliders.ipynb", frontend)
    run_all(page)

    frame = page.frame_locator("iframe[title='Greys']")
    slider, canvas = frame.locator("input"), frame.locator("canvas")
    slider.scroll_into_view_if_needed(timeout=30_000)
    grey = "c => c.getContext('2d').getImageData(8, 8, 1, 1).data[0]"
    page.wait_for_timeout(300)
    assert canvas.evaluate(grey) == 0 and frame.locator("output").inner_text() == "t = 0"
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=10)
    page.mouse.up()
    assert canvas.evaluate(grey) == 255 and frame.locator("output").inner_text() == "t = 20"
    slider.press("ArrowLeft")
    assert frame.locator("output").inner_text() == "t = 19"

    readout = page.locator(".widget-readout").first
    assert readout.inner_text() == "1"
    drag_live_slider(page)
    assert int(readout.inner_text()) > 1
    close(page)


@pytest.fixture(scope="module")
def lab(browser, server):
    """JupyterLab on one page, where notebook after notebook is opened."""
    write_notebook(server[1] / "notebooks" / "empty.ipynb", ["1"])
    page = open_notebook(browser, server[0], "empty.ipynb")
    yield page
    close(page)


@pytest.mark.parametrize("path", WITH_LIVE_FIGURES, ids=lambda path: path.stem)
def test_live_figure_of_every_notebook_follows_the_mouse(path, browser, server):
    """The notebook's last live figure that has a slider, with the cells that it needs; run once in JupyterLab, then Notebook 7
    opens what was saved, on the kernel that is still there."""
    address, folder = server
    target = [k for k in cells_calling(path, "live_figure") if "Slider" in code_of(path)[k]][-1]
    write_notebook(folder / "notebooks" / f"slice_{path.name}", sources_for(path, target))
    lab = open_notebook(browser, address, f"slice_{path.name}")
    run_all(lab)
    drag_live_slider(lab)
    lab.evaluate("async () => await jupyterapp.commands.execute('docmanager:save')")
    notebook = open_notebook(browser, address, f"slice_{path.name}", "Notebook")
    drag_live_slider(notebook)
    lab.close()
    close(notebook)


def stored_stills(path, name):
    """How many still pictures of the class `name` the outputs of a committed notebook hold."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return sum("".join(output.get("data", {}).get("text/html", "")).count(f'<img class="{name}"') for output in outputs)


@pytest.mark.parametrize("path", WITH_LIVE_FIGURES, ids=lambda path: path.stem)
def test_untrusted_notebook_shows_still_pictures(path, lab):
    """As committed, never trusted: every scrubber and live figure is a picture with alternative text, and none is a hole."""
    switch_to(lab, path.name, kernel=False)
    cells = "jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')"
    assert lab.evaluate(f"{cells}.length > 5 && !{cells}.some(c => c.model.trusted)")
    for function, name in (("scrub", "ddpm-still"), ("live_figure", "ddpm-live-still")):
        count = stored_stills(path, name)
        assert count >= len(cells_calling(path, function)) > 0
        there = "([name, n]) => document.querySelectorAll('img.' + name).length === n"
        lab.wait_for_function(there, arg=[name, count], timeout=60_000)
        for still in lab.locator(f"img.{name}").all():
            alt, width, boxes = still.evaluate(
                "async i => { await i.decode(); return [i.alt, i.naturalWidth, i.getClientRects().length] }"
            )
            assert len(alt) > 20 and width > 50 and boxes == 1, alt
    assert lab.locator("iframe[srcdoc]").count() == 0, "an untrusted notebook runs no script"


def test_unsaved_edit_reaches_the_library(browser, server):
    """Change an exported cell in Lab, do not save, run it and the last cell: the module holds the learner's version."""
    address, folder = server
    notebook = folder / "notebooks" / "01_forward_diffusion.ipynb"
    code = list(code_of(notebook).values())
    exported = [source for source in code if source.startswith("#|")]
    last = next(source for source in code if "export_from_kernel(" in source)
    write_notebook(folder / "notebooks" / "edit.ipynb", [code[0], *exported, last])
    page = open_notebook(browser, address, "edit.ipynb")
    page.evaluate("""() => {
        const cells = jupyterapp.shell.currentWidget.content.widgets;
        const cell = cells.find(c => c.model.sharedModel.getSource().includes('def noise_step('));
        const source = cell.model.sharedModel.getSource();
        cell.model.sharedModel.setSource(source.replace('def noise_step(', 'LEARNER = "was here"\\n\\n\\ndef noise_step('));
    }""")
    before = notebook.read_bytes()
    run_all(page)
    said = "() => { const o = jupyterapp.shell.currentWidget.content.widgets.at(-1).model.outputs; return o.length ? o.get(0).toJSON().text : '' }"
    page.wait_for_function(f"() => ({said})() !== ''", timeout=60_000)
    assert "written from this notebook" in page.evaluate(said)
    text = (folder / "ddpm_lib" / "forward.py").read_text()
    assert re.search(r'^LEARNER = "was here"$', text, re.MULTILINE) and text.count("def noise_step(") == 1
    assert notebook.read_bytes() == before
    close(page)
