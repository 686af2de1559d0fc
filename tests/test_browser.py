"""A real mouse in a real browser: JupyterLab serves the notebooks, the scrubber and a live slider move their pictures,
and an edit that was never saved reaches the library.

Uses the Chromium found on the machine, or Playwright's own. With neither, these tests are skipped, unless
DDPM_REQUIRE_BROWSER is set, as it is in CI.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from conftest import ROOT

sync_api = pytest.importorskip("playwright.sync_api")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        except sync_api.Error as error:
            if "DDPM_REQUIRE_BROWSER" in os.environ:
                raise
            pytest.skip(
                f"no Chromium: install it, or run `.venv/bin/playwright install chromium` ({error.message.splitlines()[0]})"
            )
        yield browser
        browser.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


CELLS = {
    "scrubber": "import torch\nfrom ddpm_lib.viz import scrub\n"
    "scrub(torch.linspace(-1, 1, 21)[:, None, None].expand(21, 16, 16), [f't = {t}' for t in range(21)], caption='Greys')",
    "live": "import ipywidgets\nfrom ddpm_lib.viz import live_figure\n"
    "def draw(figure, t):\n    figure.subplots().bar([0], [t])\n"
    "live_figure(draw, t=ipywidgets.IntSlider(value=1, min=0, max=100, description='t'))",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the repository, with settings of its own; yields (address, folder)."""
    folder, own = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("jupyter")
    for name in ("tools", "ddpm_lib", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    (folder / "data").symlink_to(ROOT / "data")
    forward = nbformat.read(folder / "notebooks" / "01_forward_diffusion.ipynb", as_version=4)
    setup = next(cell.source for cell in forward.cells if cell.cell_type == "code")
    small = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(s) for s in (setup, *CELLS.values())], metadata=forward.metadata
    )
    nbformat.write(small, folder / "notebooks" / "sliders.ipynb")
    # the edit test needs the setup, the exported cells and the last cell only, and with no stored pictures
    code = [cell.source for cell in forward.cells if cell.cell_type == "code"]
    kept = [source for source in code if source == setup or source.startswith("#|")] + [code[-1]]
    edit = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in kept], metadata=forward.metadata)
    nbformat.write(edit, folder / "notebooks" / "edit.ipynb")
    settings = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython",
                "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "DDPM_NO_EXPORT")}
    env |= {name: str(own / place) for name, place in settings.items()}
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--IdentityProvider.token=", "--expose-app-in-browser",
               "--LabApp.news_url=None", f"--ServerApp.root_dir={folder}", *(["--allow-root"] if os.getuid() == 0 else [])]  # fmt: skip
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
            break
        except OSError:
            assert server.poll() is None, server.stdout.read()
            time.sleep(0.25)
    yield f"http://127.0.0.1:{port}", folder
    server.terminate()
    server.wait(20)


def open_notebook(browser, address, name):
    """Open a notebook in JupyterLab and wait until its kernel is ready."""
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    page.goto(f"{address}/lab/tree/notebooks/{name}?reset")
    page.wait_for_function(
        "window.jupyterapp && jupyterapp.shell.currentWidget && jupyterapp.shell.currentWidget.sessionContext",
        timeout=60_000,
    )
    page.evaluate(
        "async () => { await jupyterapp.restored; await jupyterapp.shell.currentWidget.sessionContext.ready }"
    )
    return page


def run_all(page):
    assert page.evaluate("async () => await jupyterapp.commands.execute('notebook:run-all-cells')") is not False
    wait = "() => jupyterapp.shell.currentWidget.content.widgets.every(c => c.model.type !== 'code' || c.model.executionCount > 0)"
    page.wait_for_function(wait, timeout=120_000)


def drag(page, handle, dx):
    """Press on the middle of an element, move by dx and let go, as a hand would."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y, steps=4)
    page.mouse.move(x + dx, y, steps=4)
    page.mouse.up()


def test_scrubber_and_live_slider_follow_the_mouse(browser, lab):
    page = open_notebook(browser, lab[0], "sliders.ipynb")
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

    picture = page.locator(".jupyter-widgets img.widget-image")
    picture.scroll_into_view_if_needed(timeout=30_000)
    before = picture.get_attribute("src")
    drag(page, page.locator(".widget-slider .noUi-handle, .jupyter-widget-slider .noUi-handle").first, 120)
    page.wait_for_function(
        "before => document.querySelector('.jupyter-widgets img.widget-image').src !== before",
        arg=before,
        timeout=10_000,
    )
    readout = int(page.locator(".widget-readout").first.inner_text())
    assert readout > 1
    page.close()


def test_unsaved_edit_reaches_the_library(browser, lab):
    """Change an exported cell in Lab, do not save, run it and the last cell: the module holds the learner's version."""
    address, folder = lab
    notebook = folder / "notebooks" / "01_forward_diffusion.ipynb"
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
    page.close()
