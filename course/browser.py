"""JupyterLab and Notebook 7 in a real browser, for the tests and for benchmarks/speed/latency.py: serve a folder, open a notebook, run it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat

from course.lessons import ROOT

FRONTENDS = {"JupyterLab": "lab/tree", "Notebook": "notebooks"}  # name: the first part of its addresses
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
PICTURE = ".jupyter-widgets img.widget-image"


def launch(playwright):
    """Start the Chromium that is installed on this machine, or Playwright's own."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return playwright.chromium.launch(executable_path=found, args=FLAGS)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(folder, own):
    """One server for both front ends, with settings of its own in the folder `own`; gives its address."""
    settings = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython",
                "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "DDPM_NO_EXPORT")}
    env |= {name: str(own / place) for name, place in settings.items()}
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--IdentityProvider.token=", "--expose-app-in-browser",
               "--JupyterNotebookApp.expose_app_in_browser=True", "--LabApp.news_url=None", f"--ServerApp.root_dir={folder}",
               *(["--allow-root"] if os.getuid() == 0 else [])]  # fmt: skip
    log = own / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def copy_repository(folder):
    """A copy to write into of what the notebooks need; the data and the measurements are only linked."""
    for name in ("course", "checks", "ddpm_lib", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("data", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def write_notebook(path, sources):
    """Write a notebook of code cells that have not run."""
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def open_notebook(browser, address, name, frontend="JupyterLab", kernel=True):
    """Open a notebook of the folder `notebooks` and wait until its kernel is ready, or until it is there, without a kernel."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/{FRONTENDS[frontend]}/notebooks/{name}" + ("?reset" if frontend == "JupyterLab" else ""))
    page.wait_for_function(
        "window.jupyterapp && jupyterapp.shell.currentWidget && jupyterapp.shell.currentWidget.sessionContext",
        timeout=60_000,
    )
    page.evaluate("async () => { await jupyterapp.restored; await jupyterapp.shell.currentWidget.revealed }")
    if kernel:
        page.evaluate("async () => await jupyterapp.shell.currentWidget.sessionContext.ready")
    return page


def switch_to(page, name, kernel=True):
    """Close the notebook that is open in JupyterLab, with its kernel, and open another in its place: quicker than another page."""
    page.evaluate("""async path => {
        const old = jupyterapp.shell.currentWidget;
        const shown = await jupyterapp.commands.execute('docmanager:open', {path});
        await old.sessionContext.shutdown();
        old.dispose();
        await Promise.all([shown.context.ready, shown.revealed]);
    }""", f"notebooks/{name}")  # fmt: skip
    if kernel:
        page.evaluate("async () => await jupyterapp.shell.currentWidget.sessionContext.ready")


def run_all(page, timeout=300_000):
    """Run all cells and wait for the last; a cell that fails is an error here, too."""
    assert page.evaluate("async () => await jupyterapp.commands.execute('notebook:run-all-cells')") is not False
    cells = "jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')"
    failed = f"{cells}.flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error')"
    page.wait_for_function(f"() => {cells}.every(c => c.model.executionCount > 0) || {failed}.length", timeout=timeout)
    errors = page.evaluate(f"() => {failed}.map(o => o.ename + ': ' + o.evalue)")
    assert not errors, errors
