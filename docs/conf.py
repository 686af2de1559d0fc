"""How Sphinx makes the rendered book; `docs/build.py` stages what it reads and runs it (`make site`)."""

import json
import re
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode

project = "DDPM from scratch"
extensions = ["myst_nb", "sphinx.ext.autodoc", "docs.mathml"]
WHERE_BUILT = json.loads((Path(__file__).parent / "where_built.json").read_text(encoding="utf-8"))

nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # captions may have formulas
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

suppress_warnings = ["myst.header"]  # notebooks may skip a level

html_theme = "furo"
html_title = project
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_extra_path = ["files"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_copy_source = html_show_sourcelink = html_use_index = html_domain_indices = html_show_copyright = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": False}
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # what torch says of its own methods is not ours to show
add_module_names = False


def plain_docstring(app, what, name, thing, options, lines):
    """The docstrings are plain text with code in backticks: protect the text, and say in which notebook the piece is built."""
    parts = re.split(r"`([^`]+)`", "\n".join(lines))
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f"``{code}``" for code in parts[1::2]]
    lines[:] = "".join(parts).rstrip().split("\n")
    if name in WHERE_BUILT:
        stem, anchor = WHERE_BUILT[name]
        lines += ["", f"`Built in notebook {stem[:2]} <{stem}.html#{anchor}>`__"]


def open_fold(translator, node):
    """A folded cell, by its own name (myst-nb calls every one "Toggle hidden content")."""
    translator.body.append(f'<details class="fold"><summary>{node["prompt_show"]}</summary>\n')


def fold_deeper(app, tree, page):
    """Every section "Deeper: …" under its heading is a fold, which book.js opens for whoever was led there."""
    for section in tree.findall(nodes.section):
        if section[0].astext().startswith("Deeper: "):
            section.insert(1, nodes.raw("", '<details class="deeper"><summary>Read on</summary>\n', format="html"))
            section.append(nodes.raw("", "</details>\n", format="html"))


def merge(match):
    """Neighbouring pieces of a string as one."""
    return re.sub(r'</span><span class="s">', "", match.group())


def slim(app, page, template, context, doctree):
    """Leave out what no reader sees: the marks of words in code that have the colour of plain text, style sheets without use here."""
    plain = re.compile(r'<span class="(?:n|p|w|o|nn|pre)">([^<]*)</span>')
    for part in ("body", "toc"):
        text = context.get(part, "").replace("<span></span>", "")
        text = plain.sub(r"\1", plain.sub(r"\1", text))  # some are nested
        text = re.sub(r'<span class="s[1adei2]">', '<span class="s">', text)  # all strings have one colour
        context[part] = re.sub(r'(<span class="s">[^<]*)</span>(?:<span class="s">[^<]*</span>)+', merge, text)
    levels = context["furo_navigation_tree"].replace('role="heading"', 'role="heading" aria-level="2"')
    context["furo_navigation_tree"] = levels  # a heading must say its level
    context["css_files"] = [
        file for file in context["css_files"] if not re.search("mystnb|furo-extensions", file.filename)
    ]


def setup(app):
    app.connect("html-page-context", slim, priority=900)
    app.connect("doctree-resolved", fold_deeper)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.add_node(
        HideCodeCellNode,
        override=True,
        html=(open_fold, lambda translator, node: translator.body.append("</details>\n")),
    )
