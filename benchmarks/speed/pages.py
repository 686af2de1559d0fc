"""What each page of the rendered book weighs, and how long it takes to load over a slow link, in Chromium with an empty cache.

python -m benchmarks.speed.pages     (after make site; two minutes)

Two links (those of Lighthouse: "slow 4G" has 1.6 Mbit/s and 150 ms a round trip; the other 9 Mbit/s and 60 ms), and two
servers: Python's plain one, and one that compresses text as GitHub Pages does.
"""

import argparse
import contextlib
import functools
import gzip
import http.server
import json
import re
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.speed.measure import machine, versions
from course.lessons import RESULTS, ROOT

LINKS = {"1.6 Mbit/s, 150 ms": (1.6e6, 150), "9 Mbit/s, 60 ms": (9e6, 60)}
TEXT = {".html", ".css", ".js", ".svg"}
TIMES = """() => { const n = performance.getEntriesByType("navigation")[0];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return { paint: paint ? paint.startTime : null, ready: n.domContentLoadedEventEnd, load: n.loadEventEnd } }"""


class Plain(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Zipped(Plain):
    """Compresses text."""

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in TEXT or not path.is_file():
            return super().send_head()
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        for name, value in (
            ("Content-Type", self.guess_type(path)),
            ("Content-Encoding", "gzip"),
            ("Content-Length", len(body)),
        ):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serve(handler, folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def visit(browser, address, link):
    """Times in ms and bytes on the wire of one page, loaded into an empty cache on a phone's screen."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    wire = []
    devtools.on("Network.loadingFinished", lambda event: wire.append(event["encodedDataLength"]))
    devtools.send("Network.enable")
    bits, delay = LINKS[link]
    speed = {"downloadThroughput": bits / 8, "uploadThroughput": bits / 8}
    devtools.send("Network.emulateNetworkConditions", {"offline": False, "latency": delay, **speed})
    page.goto(address, wait_until="load")
    times = {name: value and round(value) for name, value in page.evaluate(TIMES).items()}
    page.wait_for_load_state("networkidle")
    context.close()
    return times | {"bytes": int(sum(wire))}


def whole_weight(page, site):
    """Bytes of a page with every picture and scrubber on it, on the disk."""
    text = page.read_text(encoding="utf-8")
    files = {src.split("?")[0] for src in re.findall(r'(?:src|href)="((?:pictures|scrubbers|_static)/[^"]+)"', text)}
    return page.stat().st_size + sum((site / file).stat().st_size for file in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed_pages.json")
    parser.add_argument("--pages", nargs="*", help="names without .html; all by default")
    arguments = parser.parse_args()
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    pages = [arguments.site / f"{name}.html" for name in arguments.pages or []] or sorted(arguments.site.glob("*.html"))
    results = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        version = browser.version
        for page in pages:
            row = {
                "html": page.stat().st_size,
                "html_gzip": len(gzip.compress(page.read_bytes())),
                "all": whole_weight(page, arguments.site),
            }
            for server, handler in (("plain", Plain), ("gzip", Zipped)):
                with serve(handler, arguments.site) as address:
                    row[server] = {link: visit(browser, f"{address}/{page.name}", link) for link in LINKS}
            results[page.stem] = row
            slow = row["plain"]["1.6 Mbit/s, 150 ms"], row["gzip"]["1.6 Mbit/s, 150 ms"]
            print(f"{page.stem:26} {row['html'] / 1e3:4.0f} kB (gzip {row['html_gzip'] / 1e3:3.0f}), with all below {row['all'] / 1e6:.2f} MB; "
                  f"slow 4G: {slow[0]['bytes'] / 1e3:4.0f} kB, first paint {slow[0]['paint']}, ready {slow[0]['ready']} ms; gzip: {slow[1]['bytes'] / 1e3:4.0f} kB, {slow[1]['paint']}, {slow[1]['ready']} ms", flush=True)  # fmt: skip
        browser.close()
    where = {"machine": machine(), "versions": versions() | {"chromium": version}, "screen": "390 x 844"}
    content = {"command": "python -m benchmarks.speed.pages"} | where | {"pages": results}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
