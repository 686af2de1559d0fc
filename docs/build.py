"""Notebooks -> a book of plain pages in `build/site`, for any file server, with no kernel and no network: `make site`.

The notebooks are not executed: their stored outputs are shown. A copy of each is staged in `build/book`, with pictures and
scrubbers moved into files of their own, which a page loads when they come near. Sphinx makes the pages of it.
"""

import ast
import base64
import html
import json
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from course.lessons import ROOT, code_cells, description, export_target, modules, notebooks, own_module
from course.road import HIDDEN, measure, tagged
from course.tables import colab_address, repository_address, ways
from docs.files import Files
from docs.live import SHIPPED, open_network, page_part

REPOSITORY = repository_address()
CARD = "### Deeper: Notation card"


def markdown_cell(text):
    return {"cell_type": "markdown", "id": "added", "metadata": {}, "source": text}


def hidden(cell, what):
    """Fold a code cell's input behind "Show WHAT"."""
    prompts = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    cell["metadata"] = {"tags": ["hide-input"], "mystnb": prompts}


def public_definitions(source):
    """The documented public functions, classes and methods that a cell defines; `X.method` for one of class X."""
    names = []
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node):
            names.append(node.name)
        for part in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(part, ast.FunctionDef) and not part.name.startswith("_") and ast.get_docstring(part):
                names.append(f"{node.name}.{part.name}")
    return names


def where_built(notebooks):
    """Where each piece of the library is built: `{"ddpm_lib.forward.noise_step": ("01_forward_diffusion", "noise_step")}`."""
    found = {}
    for notebook in notebooks:
        for source in code_cells(notebook):
            target = export_target(source)
            for name in public_definitions(source) if target is not None else []:
                found[f"ddpm_lib.{target or own_module(notebook)}.{name}"] = (notebook.stem, f"built-{name}")
    return found


def stage_output(output, files):
    """An output as the page needs it: pictures and scrubbers become HTML that points to files."""
    data = output.get("data", {})
    if "image/png" in data:
        alt = html.escape(output["metadata"].get("image/png", {}).get("alt", ""))
        output["data"] = {"text/html": files.picture(base64.b64decode("".join(data["image/png"])), alt)}
        output["metadata"] = {}
    elif "text/html" in data:
        output["data"] = {"text/html": files.players("".join(data["text/html"]))}
    return output


def stage_code(cell, first, notebook):
    """The cells that stand for one code cell: anchors before it, links to the library and a remark after it."""
    source = "".join(cell["source"])
    module, names = export_target(source), public_definitions(source)
    if first or tagged(cell, HIDDEN):
        hidden(cell, "the setup" if first else "the code")
    cells = [cell]
    if module is not None and names:
        full = f"ddpm_lib.{module or own_module(notebook)}."
        links = ", ".join(f"{{py:obj}}`{name} <{full}{name}>`" for name in names)
        anchors = "".join(f'<span id="built-{name}"></span>' for name in names)
        cells = [
            markdown_cell(anchors),
            cell,
            markdown_cell(f'<div class="aside">\n\nIn the library: {links}\n\n</div>'),
        ]
    if re.search(r"^live_figure\(", source, re.MULTILINE):
        remark = f"These controls compute, so they move in a running notebook: [in Colab]({colab_address(REPOSITORY, notebook.stem)}), or with `make lab`."
        cells.append(markdown_cell(f'<div class="aside">\n\n{remark}\n\n</div>'))
    return cells


def stage_text(source):
    """A markdown cell without badges, with links that lead into the repository."""
    source = re.sub(
        r"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\n*", "", source
    )  # badges: each page has its links under the title
    source = re.sub(r"\]\((\w*(?:\.ipynb)?)#([^)]+)\)", lambda match: f"]({match.group(1)}#{slug(match.group(2))})", source)
    source = source.replace("](../docs/draw.md)", "](draw.md)")
    return source.replace("](../", f"]({REPOSITORY}/blob/main/")


def slug(heading):
    """JupyterLab's address of a heading, `Deeper:-where-from?`, as the pages have it: `deeper-where-from`."""
    return re.sub(r"[^\w-]", "", heading.lower())


def stage_notebook(notebook, book):
    """Write a copy of a notebook for the book; returns its title with its number in front."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    files, staged, first = Files(book / "files", notebook.stem), [], True
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            staged += [cell | {"source": text}] if (text := stage_text(source)).strip() else []
        elif not re.match(r"#\|\s*default_exp", source):
            cell["outputs"] = [stage_output(output, files) for output in cell["outputs"]]
            staged += stage_code(cell, first, notebook)
            first = False
    title, rest = staged[0]["source"].split("\n", 1)
    title = f"{notebook.stem[:2]} {title.removeprefix('# ')}"
    page = f"{REPOSITORY}/blob/main/notebooks/{notebook.name}"
    links = f"Run it: [in Colab]({colab_address(REPOSITORY, notebook.stem)}), or `make lab` in a clone. [The notebook]({page}) on GitHub."
    staged[0]["source"] = f"# {title}\n{rest}\n\n{links}"
    content["cells"] = [cell | {"id": f"cell-{k}"} for k, cell in enumerate(staged)]
    (book / notebook.name).write_text(json.dumps(content), encoding="utf-8")
    return title


def notation_card(notebooks):
    """The notation card, which is a deeper section of a notebook, as a page of its own; links to that notebook's headings lead there."""
    for notebook in notebooks:
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if source.startswith(CARD):
                card = stage_text(source.replace(CARD, "# Notation card", 1)).replace("](#", f"]({notebook.name}#")
                return f"{card}\n\n*From [notebook {notebook.stem[:2]}]({notebook.name}).*\n"
    raise SystemExit(f"no cell of the notebooks starts with {CARD!r}")


def first_scrubber(book):
    """The first slider of the staged notebooks, for the front page."""
    for notebook in sorted(book.glob("*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if found := re.search('<div class="scrubber".*?</div>', output.get("data", {}).get("text/html", ""), re.DOTALL):
                    return found.group()
    return ""


def lead_into_the_book(page):
    """Mend the links of a staged page that is read in the repository too: to a notebook's page, or to GitHub."""
    text = page.read_text(encoding="utf-8").replace("](../notebooks/", "](")
    text = re.sub(r"\]\((\w+\.ipynb)#([^)]+)\)", lambda match: f"]({match.group(1)}#{slug(match.group(2))})", text)
    page.write_text(text.replace("](../", f"]({REPOSITORY}/blob/main/"), encoding="utf-8")


def where_built_in_the_book(notebook, function):
    """The address of the cell that builds a function."""
    return f"{notebook}.html#built-{function}"


def fill(page, **blanks):
    """Replace the words in capitals on a staged page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub("|".join(blanks), lambda match: str(blanks[match.group()]), text), encoding="utf-8")


def stage(book):
    """Lay out all that Sphinx needs in the folder `book`."""
    shutil.rmtree(book, ignore_errors=True)
    shutil.copytree(
        ROOT / "docs",
        book,
        ignore=shutil.ignore_patterns("__*__*", "build.py", "files.py", "live.py", "runtime.py", "mathml.py", "draw.html", "from_noise.*", "open-in-colab.svg"),
    )
    lessons, rows = notebooks(), []
    for notebook in lessons:
        title = stage_notebook(notebook, book)
        road, whole = (f"{counted['minutes']} min" for counted in measure(notebook).values())
        rows.append(f"| [{title}]({notebook.name}) | {description(notebook)} | {road} | {whole} |")
    built = where_built(lessons)
    (book / "where_built.json").write_text(json.dumps(built), encoding="utf-8")
    (book / "notation.md").write_text(notation_card(lessons), encoding="utf-8")
    names = [f"ddpm_lib.{module}" for notebook in lessons for module in modules(notebook)]
    sections = [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```" for name in names]
    fill(book / "api.md", MODULES="\n\n".join(sections))
    for name in ("teaching.md", "draw.md"):
        lead_into_the_book(book / name)
    part = page_part(book / "files" / "draw", open_network(SHIPPED, 28), Files(book / "files", "draw"), where_built_in_the_book)
    part = part or "<p>This copy of the book was built without the network that draws here; <code>make site</code> said why.</p>"
    fill(book / "draw.md", DRAWING=f"```{{raw}} html\n{part}\n```")
    blanks = {"NOTEBOOKS": "\n".join(rows), "WAYS": ways(folder=""), "REPOSITORY": REPOSITORY, "SCRUBBER": first_scrubber(book)}
    fill(book / "index.md", **blanks)


def build(site=ROOT / "build" / "site", *options):
    """Stage and build the pages into `site`; returns Sphinx's exit status."""
    site = Path(site)
    book = site.parent / "book"
    stage(book)
    shutil.rmtree(site, ignore_errors=True)
    return build_main(["-q", "-E", "-b", "html", "-d", str(site.parent / "doctrees"), *options, str(book), str(site)])


if __name__ == "__main__":
    sys.exit(build(*sys.argv[1:]))
