"""The rendered book: built once, read as files, then opened in Chromium from a plain file server, at desktop and phone width."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import urllib.parse

import pytest
import yaml
from conftest import ROOT

from course.lessons import notebooks
from docs.build import where_built

NOTEBOOKS = notebooks()
PAGES = ["index", *(path.stem for path in NOTEBOOKS), "draw", "notation", "api", "teaching", "search"]
WIDTHS = {"desktop": 1280, "phone": 390}
HEAVIEST = 1_000_000  # bytes until a page stands; the promise is 3 MB


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book") / "site"
    command = [sys.executable, "-m", "docs.build", str(folder), "--fail-on-warning", "--keep-going"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def texts(site):
    return {page.stem: page.read_text(encoding="utf-8") for page in site.glob("*.html")}


def outputs_of(notebook):
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        yield from cell.get("outputs", [])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_page_has_every_picture_and_scrubber_of_its_notebook(notebook, site, texts):
    page, outputs = texts[notebook.stem], list(outputs_of(notebook))
    pictures = re.findall(r'<img src="(pictures/[^"]+)" alt="([^"]+)" width="\d+" height="\d+" loading="lazy"', page)
    html = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    stills = sum(len(re.findall(r'<img [^>]*src="data:', text)) for text in html)
    assert len(pictures) == sum("image/png" in output.get("data", {}) for output in outputs) + stills
    scrubbers = re.findall(r'<iframe title="([^"]+)" sandbox="allow-scripts" loading="lazy" src="([^"]+)"', page)
    assert len(scrubbers) == sum(text.count("<iframe") for text in html)
    for file in [src for src, _ in pictures] + [src for _, src in scrubbers]:
        assert (site / file).is_file(), file
    assert not re.search(r"<(?:iframe|img)[^>]*(?:srcdoc=|data:image)", page), "pictures and players are files"


def test_front_page_begins_with_a_slider_and_leads_to_the_page_that_draws(texts):
    assert texts["index"].count('class="scrubber"') == 1
    for name in ("index", "00_start_here", "06_reverse_sampling", "08_fast_sampling", "10_bug_clinic"):
        assert 'href="draw.html"' in texts[name].split("<article", 1)[1].split("</article>")[0], name


def test_formulas_are_mathml_and_none_is_left_as_tex(texts):
    assert sum(text.count("<math") for text in texts.values()) > 500
    for name, text in texts.items():
        prose = re.sub(r"<pre>.*?</pre>|<code.*?</code>|<script.*?</script>", "", text, flags=re.DOTALL)
        prose = re.sub(r"<[^>]+>", "", prose)
        assert not re.search(r"\\(frac|sqrt|bar|alpha|epsilon)\b|\$\$", prose), name


def test_math_font_has_every_sign(site, texts):
    """Also the letters and the root that no formula spells out: browsers draw them for <mi> and <msqrt>."""
    from fontTools.ttLib import TTFont

    signs = TTFont(site / "_static" / "math.woff").getBestCmap()
    for text in texts.values():
        for formula in re.findall("<math.*?</math>", text, re.DOTALL):
            shown = re.sub(r"<[^>]+>|&\w+;|\s", "", formula)
            missing = {c for c in shown if c.isprintable() and ord(c) not in signs} - {"\ufe00"}  # a variant's mark
            assert not missing, f"{missing} of {shown}"
    assert {ord(c) for c in "√𝑥𝜖𝛼𝜃"} <= set(signs)


def test_nothing_is_asked_of_other_servers(site):
    outside = re.compile(
        r'(?:\ssrc|\ssrcset|<link[^>]* href)="(?:https?:)?//[^"]*|url\(["\']?(?:https?:)?//[^)]*|@import[^;]*'
    )
    for path in site.rglob("*"):
        if path.suffix in {".html", ".css"}:
            assert not (found := outside.search(path.read_text(encoding="utf-8"))), f"{path.name}: {found.group()}"


def test_every_link_leads_somewhere(site, texts):
    ids = {name: set(re.findall(r'\sid="([^"]+)"', text)) for name, text in texts.items()}
    for name, text in texts.items():
        for href in re.findall(r'<a [^>]*href="([^"]*)"', text):
            if re.match(r"https?://|mailto:", href):
                continue
            page, _, anchor = urllib.parse.unquote(href).partition("#")
            page = page.removesuffix(".html") or name
            assert page in texts, f"{name}: {href}"
            assert not anchor or anchor in ids[page], f"{name}: {href}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_library_and_notebook_link_both_ways(notebook, texts):
    for name, (page, anchor) in where_built([notebook]).items():
        assert f'id="{name}"' in texts["api"], f"{name} is not on the library's page"
        entry = texts["api"].split(f'id="{name}"')[1].split("</dd>")[0]
        assert f'href="{page}.html#{anchor}"' in entry, f"{name} has no link to the cell that builds it"
        cell = texts[page].split(f'id="{anchor}"')[1].split('class="aside"')[1].split("</div>")[0]
        assert f'href="api.html#{name}"' in cell, f"the cell of {name} has no link to the library's page"


def test_previous_and_next_run_through_the_notebooks(texts):
    order = [path.stem for path in NOTEBOOKS]
    for before, after in zip(order, order[1:], strict=False):
        assert f'<a class="next-page" href="{after}.html"' in texts[before]
        assert f'<a class="prev-page" href="{before}.html"' in texts[after]
    for name in PAGES:
        assert 'href="notation.html"' in texts[name] or name == "notation", "the notation card is on every page's list"


def test_workflow_publishes_what_make_site_builds():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    trigger = workflow[True]  # YAML reads the word "on" as true
    assert trigger["push"]["branches"] == ["main"]
    assert workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == ["make site"]
    uses = [step["uses"].split("@")[0] for step in steps if "uses" in step]
    assert all(action.startswith("actions/") for action in uses) and uses[-1] == "actions/deploy-pages"
    upload = next(step for step in steps if "upload-pages-artifact" in step.get("uses", ""))
    assert upload["with"]["path"] == "build/site"


# ---------------------------------------------------------------------------------------------- in a real browser


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def contexts(browser):
    """One window at each width; the phone's has a touch screen."""
    made = {name: browser.new_context(viewport={"width": width, "height": 844}, has_touch=name == "phone", reduced_motion="reduce")
            for name, width in WIDTHS.items()}  # fmt: skip
    yield made
    for context in made.values():
        context.close()


class Visit:
    """An open page, with what went wrong on it and what it asked for."""

    def __init__(self, context, address, name, unfold=True):
        self.faults, self.bytes, self.asked = [], 0, []
        self.page = context.new_page()
        self.page.route(lambda url: not url.startswith((address, "data:", "blob:")), self.refuse)
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.faults.append(m.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("response", self.count)
        self.page.goto(f"{address}/{name}.html")
        self.page.add_style_tag(content="html { scroll-behavior: auto !important }")
        if unfold:  # what is folded loads nothing
            self.page.evaluate("document.querySelectorAll('details.deeper').forEach(fold => fold.open = true)")

    def refuse(self, route):
        self.faults.append(f"asked {route.request.url}")
        route.abort()

    def count(self, response):
        self.asked.append(response.url)
        self.bytes += int(response.headers.get("content-length", 0))
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page_stands_alone_and_fits(name, width, contexts, address):
    with Visit(contexts[width], address, name) as visit:
        page = visit.page
        page.wait_for_timeout(200)  # what is near the top comes after the page itself
        assert visit.bytes < HEAVIEST, f"{visit.bytes} bytes before anyone scrolls"
        tops = page.evaluate(
            "[...document.querySelectorAll('iframe')].map(f => [f.src, f.getBoundingClientRect().top])"
        )
        early = [src for src, top in tops if src in visit.asked and top > 4000]
        assert not early, f"scrubbers far below were loaded at once: {early}"
        page.wait_for_function("""() => {
            const late = [...document.querySelectorAll("article img:not(.stills *)")].find(i => !i.complete);
            if (late) late.scrollIntoView();
            return !late }""")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= WIDTHS[width], f"the page is {wide} px wide"
        sizes = page.evaluate(
            "[...document.querySelectorAll('article img:not(.stills *)')].map(i => [i.src, i.naturalWidth, i.alt])"
        )
        assert all(natural > 0 and alt for _, natural, alt in sizes), sizes
        outside = page.evaluate("""() => [...document.querySelectorAll('article :is(p, li, math, img, iframe)')].filter(e => {
            if (e.closest('.table-wrapper, div.math, pre')) return false;
            const box = e.getBoundingClientRect();
            return box.width && box.right > innerWidth + 1 }).map(e => e.outerHTML.slice(0, 200))""")
        assert not outside, f"cut off at the right: {outside[:3]}"
        assert not visit.faults, visit.faults


def players(page):
    """Each scrubber of a page: its frame element, slider, canvas and output."""
    for element in page.query_selector_all("iframe"):
        element.scroll_into_view_if_needed()
        frame = element.content_frame()
        frame.wait_for_load_state("load")
        frame.wait_for_function("document.querySelector('output').textContent !== ''")
        yield element, frame, frame.query_selector("input"), frame.query_selector("output")


def picture(frame):
    return frame.evaluate("document.querySelector('canvas').toDataURL()")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_scrubbers_follow_mouse_and_keyboard(notebook, contexts, address):
    with Visit(contexts["desktop"], address, notebook.stem) as visit:
        for _, frame, slider, output in players(visit.page):
            first, label = picture(frame), output.inner_text()
            box = slider.bounding_box()
            middle = box["y"] + box["height"] / 2
            visit.page.mouse.move(box["x"] + 8, middle)
            visit.page.mouse.down()
            visit.page.mouse.move(box["x"] + box["width"] - 2, middle, steps=5)
            visit.page.mouse.up()
            assert picture(frame) != first and output.inner_text() != label
            slider.press("Home")
            assert picture(frame) == first and output.inner_text() == label
            slider.press("ArrowRight")
            assert output.inner_text() != label and slider.get_attribute("aria-valuetext") == output.inner_text()
        assert not visit.faults, visit.faults


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_scrubbers_follow_a_finger_and_fit_the_phone(notebook, contexts, address):
    with Visit(contexts["phone"], address, notebook.stem) as visit:
        touch = visit.page.context.new_cdp_session(visit.page)
        for element, frame, slider, _ in players(visit.page):
            first, box = picture(frame), slider.bounding_box()
            y = box["y"] + box["height"] / 2
            for kind, share in (("touchStart", 0.05), ("touchMove", 0.4), ("touchMove", 0.9), ("touchEnd", None)):
                points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": y}]
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            frame.wait_for_function(
                "first => document.querySelector('canvas').toDataURL() !== first", arg=first, timeout=30_000
            )
            shown = element.bounding_box()["height"]
            needed = frame.evaluate("document.querySelector('label').getBoundingClientRect().bottom")
            assert needed <= shown + 1, f"{needed - shown:.0f} px of the controls are cut off"
            assert needed > shown - 40, f"{shown - needed:.0f} px of nothing below the controls"
        assert not visit.faults, visit.faults


def serious(page, skip=(), **options):
    """What axe-core holds against a page, the serious and the critical."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "iframes": False} | options
    found = Axe().run(page, context={"exclude": [[part] for part in skip or [".nothing"]]}, options=options)
    grave = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    return [(v["id"], [node["html"][:150] for node in v["nodes"][:3]]) for v in grave]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_violation(name, contexts, address):
    """Code and formulas look the same everywhere and have thousands of parts: they are judged on one page."""
    skip = () if name == NOTEBOOKS[1].stem else ("div.cell_input", "math")
    with Visit(contexts["desktop"], address, name) as visit:
        visit.page.evaluate("document.body.dataset.theme = 'light'")
        assert serious(visit.page, skip) == []
        visit.page.evaluate("document.body.dataset.theme = 'dark'")
        assert serious(visit.page, skip, runOnly=["color-contrast"]) == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_axe_accepts_the_players(notebook, contexts, address, site):
    for player in sorted((site / "scrubbers").glob(f"{notebook.stem}_*.html")):
        with Visit(contexts["phone"], address, f"scrubbers/{player.stem}") as visit:
            assert serious(visit.page) == []


def test_search_finds_the_posterior(contexts, address):
    with Visit(contexts["desktop"], address, "index") as visit:
        visit.page.get_by_placeholder("Search").fill("posterior")
        visit.page.keyboard.press("Enter")
        results = visit.page.locator("#search-results a")
        results.first.wait_for()
        assert any("02_noise_schedule.html" in link.get_attribute("href") for link in results.all())
        assert not visit.faults, visit.faults


def test_dark_mode_can_be_chosen_and_is_kept(contexts, address):
    background = "getComputedStyle(document.body).backgroundColor"
    with Visit(contexts["desktop"], address, "index") as visit:
        page = visit.page
        light = page.evaluate(background)
        for _ in range(3):  # auto, light and dark take turns
            if page.evaluate("document.body.dataset.theme") != "dark":
                page.locator(".theme-toggle-content button").click()
        dark = page.evaluate(background)
        assert sum(map(int, re.findall(r"\d+", dark))) < sum(map(int, re.findall(r"\d+", light))) / 3
        page.goto(f"{address}/api.html")
        assert page.evaluate(background) == dark
        page.evaluate("localStorage.clear()")


@pytest.mark.parametrize("way", ["clipboard", "without https"])
def test_copy_button_copies_by_keyboard(way, contexts, address):
    contexts["desktop"].grant_permissions(["clipboard-read", "clipboard-write"])
    with Visit(contexts["desktop"], address, NOTEBOOKS[1].stem) as visit:
        page = visit.page
        page.evaluate("window.kept = navigator.clipboard; kept.writeText('nothing')")
        if way == "without https":
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        block = page.locator("div.cell_input div.highlight:visible").first
        button = block.get_by_role("button", name="Copy this code")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("async code => await kept.readText() === code", arg=block.locator("pre").text_content())


def test_solutions_unfold(contexts, address):
    with Visit(contexts["phone"], address, NOTEBOOKS[1].stem) as visit:
        for text in ("Solution 1", "Show the setup"):
            fold = visit.page.locator("details", has_text=text).first
            assert not fold.locator("pre").first.is_visible()
            fold.locator("summary").click()
            assert fold.locator("pre").first.is_visible()
