"""What the page that draws weighs, and how fast it is: one thread of Chromium without a window, on a quiet machine.

python -m benchmarks.speed.draw     (builds the page of `make live` around the shipped model; two minutes)

"ready" is from when the last byte is there until the network has answered once. "first state" is from the click on Draw until the
browser has painted x_T, "scrubbing" from the slider's event until all pictures are drawn; both are medians.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.speed.measure import load_average, made_on, versions
from benchmarks.speed.pages import Plain, serve
from course.browser import launch
from course.lessons import RESULTS
from ddpm_lib.data import data_folder
from docs.live import open_network, write_page
from docs.runtime import RUNTIME

DRAWING = """async ({ count, steps, sampler }) => {
    const start = performance.now();
    await ddpm.draw({ count, steps, sampler });
    return performance.now() - start }"""
FIRST_STATE = """() => new Promise((resolve) => {
    const canvas = document.querySelector('[data-draw=healthy] canvas'), stage = document.querySelector('[data-draw=t]');
    stage.textContent = '';
    const start = performance.now();
    new MutationObserver((_, observer) => {
        if (stage.textContent !== 't = 1000') return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
    }).observe(stage, { childList: true, characterData: true, subtree: true });
    document.querySelector('form button[type=submit]').click() })"""
SCRUBBING = """() => {
    const slider = document.querySelector('[data-draw=time]'), times = [];
    for (let k = 0; k < 60; k++) {
        slider.value = k % (Number(slider.max) + 1);
        const start = performance.now();
        slider.dispatchEvent(new Event('input'));
        document.querySelector('canvas').getContext('2d').getImageData(0, 0, 1, 1); // until it is really drawn
        times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[30] }"""
IDLE = "document.querySelector('form').hidden === false && document.querySelector('[data-draw=stop]').disabled"


def median(values):
    return sorted(values)[len(values) // 2]


def measure(page, rounds):
    """All times in milliseconds, with the page open and nothing loaded."""
    ready = page.evaluate("ddpm.ready.then(({ milliseconds }) => milliseconds)")
    found = {"ready": ready}
    for count, steps in ((1, 1), (1, 20), (4, 20), (16, 20)):
        options = {"count": count, "steps": steps, "sampler": "dpm_solver"}
        found[f"{count} in {steps} steps"] = median([page.evaluate(DRAWING, options) for _ in range(rounds)])
    page.get_by_role("button", name="Load the network and draw").click()
    page.wait_for_function(IDLE, timeout=300_000)
    found["scrubbing, 4 pictures"] = page.evaluate(SCRUBBING)
    firsts = []
    for _ in range(rounds):
        firsts.append(page.evaluate(FIRST_STATE))
        page.wait_for_function(IDLE, timeout=300_000)
    return {name: round(value, 1) for name, value in (found | {"first state": median(firsts)}).items()}


def weights(site):
    """Bytes of what the click loads, plain and compressed."""
    files = [file for file in (site / "draw").iterdir() if file.suffix in (".onnx", ".wasm", ".js", ".json")]
    return {file.name: {"bytes": file.stat().st_size, "gzip": len(gzip.compress(file.read_bytes()))} for file in sorted(files)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="repeats of each drawing")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed_draw.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        if not write_page(open_network(data_folder() / "fashion-mnist.safetensors", 28), site):
            raise SystemExit("npm brought no onnxruntime-web")
        with serve(Plain, site) as address:
            browser = launch(playwright)
            page = browser.new_page()
            page.goto(address)
            times = measure(page, options.rounds)
            version = browser.version
            browser.close()
        about = {"command": "python -m benchmarks.speed.draw", "machine": made_on(), "load_average": load_average()}
        about |= {"versions": versions() | {"chromium": version, "runtime": RUNTIME}}
        about |= {"rounds": options.rounds, "weights": weights(site), "milliseconds": times}
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(about["milliseconds"], indent=1))


if __name__ == "__main__":
    main()
