"""How long a live figure takes to follow the mouse: from a mouse event in Chromium to the new picture on the screen, for every
slider of every live figure, in JupyterLab and in Notebook 7, with a real mouse and a real kernel.

    python -m benchmarks.speed.latency [--notebooks 03 05] [--frontends Notebook]

A cell's figure is tried with the cells that it needs, not with the whole notebook. The mouse makes one small move, waits for the picture,
makes the next. Rows that are not measured anew are kept, so that it can be run in pieces.
"""

import argparse
import json
import statistics
import tempfile
from importlib import metadata
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.speed.measure import machine
from course.browser import FRONTENDS, PICTURE, copy_repository, launch, open_notebook, run_all, serving, write_notebook
from course.lessons import RESULTS, ROOT
from course.slices import cells_calling, sources_for

PACKAGES = ("jupyterlab", "notebook", "ipywidgets", "ipykernel", "matplotlib", "torch")
HANDLE, TRACK = ".widget-slider .noUi-handle", ".widget-slider .noUi-base"
# the milliseconds from the next mouse event to the frame that shows a new picture, or null if none comes
WATCH = """() => { window.answer = new Promise(resolve => {
    const picture = document.querySelector('PICTURE');
    let start = null;
    document.addEventListener('pointermove', event => { start = event.timeStamp }, {capture: true, once: true});
    const observer = new MutationObserver(async () => {
        observer.disconnect();
        await picture.decode();
        requestAnimationFrame(() => {
            const painted = new MessageChannel();  // its message arrives when the frame is done
            painted.port1.onmessage = () => resolve(performance.now() - start);
            painted.port2.postMessage(0);
        });
    });
    observer.observe(picture, {attributes: true, attributeFilter: ['src']});
    setTimeout(() => { observer.disconnect(); resolve(null) }, 1000);
}) }""".replace("PICTURE", PICTURE)


def drag(page, slider, pictures):
    """Drag a slider to and fro until `pictures` new pictures have come; returns their latencies in milliseconds."""
    handle, track = page.locator(HANDLE).nth(slider).bounding_box(), page.locator(TRACK).nth(slider).bounding_box()
    y, left, width = handle["y"] + handle["height"] / 2, track["x"], track["width"]
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    taken = []
    for k in range(4 * pictures):
        place = abs((k * 7 % 120) / 60 - 1)  # 1 to 0 and back to 1, in steps of 7/60
        page.evaluate(WATCH)
        page.mouse.move(left + place * width, y)
        milliseconds = page.evaluate("() => window.answer")
        taken += [] if milliseconds is None else [milliseconds]
        page.wait_for_timeout(60)
        if len(taken) == pictures + 2:
            break
    page.mouse.up()
    return taken[2:]  # the first two wake things up


def measure(browser, address, folder, notebook, cell, frontend, pictures):
    """The latencies of every slider of one live figure: (name, milliseconds) each."""
    name = f"slice_{notebook.stem}_{cell}.ipynb"
    write_notebook(folder / "notebooks" / name, sources_for(notebook, cell))
    page = open_notebook(browser, address, name, frontend)
    run_all(page)
    page.locator(PICTURE).scroll_into_view_if_needed(timeout=60_000)
    page.wait_for_timeout(500)
    labels = page.locator(".widget-slider .widget-label").all_inner_texts()
    taken = [drag(page, k, pictures) for k in range(page.locator(HANDLE).count())]
    page.evaluate("async () => await jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()
    return list(zip(labels, taken, strict=True))


def facts():
    """The machine and the versions that these latencies belong to."""
    return {"machine": machine(), "versions": {name: metadata.version(name) for name in PACKAGES}}


def rows_of(name, milliseconds):
    milliseconds = [round(value, 1) for value in milliseconds]
    return {"slider": name, "pictures": len(milliseconds), "median_ms": statistics.median(milliseconds), "worst_ms": max(milliseconds),
            "all_ms": milliseconds}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", nargs="*", default=[""], help="the beginnings of their names; all by default")
    parser.add_argument("--frontends", nargs="*", default=list(FRONTENDS), choices=list(FRONTENDS))
    parser.add_argument("--pictures", type=int, default=20, help="new pictures to wait for, for each slider")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed_latency.json")
    options = parser.parse_args()
    notebooks = [
        p
        for p in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
        if p.name.startswith(tuple(options.notebooks))
    ]
    results = json.loads(options.out.read_text()) if options.out.exists() else {"rows": {}}
    measured = tuple(f"{notebook.stem}, " for notebook in notebooks)
    results["rows"] = {  # a figure may be gone since
        name: row
        for name, row in results["rows"].items()
        if not (name.startswith(measured) and name.endswith(tuple(options.frontends)))
    }
    results |= {
        "command": "python -m benchmarks.speed.latency",
        "unit": "ms from mouse event to painted picture",
    } | facts()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder, own = Path(scratch, "clone"), Path(scratch, "own")
        folder.mkdir(), own.mkdir()
        copy_repository(folder)
        browser = launch(playwright)
        with serving(folder, own) as address:
            for notebook in notebooks:
                for cell in cells_calling(notebook, "live_figure"):
                    for frontend in options.frontends:
                        taken = measure(browser, address, folder, notebook, cell, frontend, options.pictures)
                        for name, milliseconds in taken:
                            row = rows_of(name, milliseconds)
                            number = cells_calling(notebook, "live_figure").index(cell) + 1
                            results["rows"][f"{notebook.stem}, figure {number}, {name}, {frontend}"] = row
                            print(
                                f"{notebook.stem:24s} {cell:3d} {frontend:10s} {name:12s} {row['median_ms']:5.0f} {row['worst_ms']:5.0f} ms",
                                flush=True,
                            )
                        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        browser.close()


if __name__ == "__main__":
    main()
