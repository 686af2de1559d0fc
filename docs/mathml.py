"""A Sphinx extension: formulas become MathML when the pages are built, set in a font of the signs that they use.

Browsers lay MathML out and screen readers read it by themselves, so a page needs no script for its formulas.
"""

import io
import logging
import re
import unicodedata
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from math_core import LatexError, LatexToMathML
from sphinx.util.logging import getLogger

ITALIC = "".join(map(chr, (*range(0x1D434, 0x1D467 + 1), 0x210E, *range(0x1D6E2, 0x1D71B + 1))))
ROOT_WIDTH = 850  # thousandths of an em
CONVERTER = LatexToMathML(fancy_error=False)


def convert(tex, display, place):
    """TeX to MathML; what can't be converted is shown as TeX, with a warning."""
    try:
        return CONVERTER.convert_with_local_state(tex, displaystyle=display)
    except LatexError as error:
        getLogger(__name__).warning("%r: %s", tex, error, location=place)
        return f"<code>{nodes.Text(tex).astext()}</code>"


def visit_inline(translator, node):
    translator.body.append(convert(node.astext(), False, node))
    raise nodes.SkipNode


def visit_block(translator, node):
    translator.body.append(f'<div class="math">{convert(node.astext(), True, node)}</div>\n')
    raise nodes.SkipNode


def narrow_roots(font):
    """Make tall root signs about as wide as the low one: Chromium keeps the width of the widest free after every root."""
    variants = font["MATH"].table.MathVariants
    root = font.getBestCmap()[ord("√")]
    forms = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(root)]
    names = [record.VariantGlyph for record in forms.MathGlyphVariantRecord] + [
        part.glyph for part in forms.GlyphAssembly.PartRecords
    ]
    for name in set(names) - {root}:
        glyph, (width, bearing) = font["glyf"][name], font["hmtx"][name]
        share = ROOT_WIDTH / width
        glyph.coordinates.scale((share, 1))
        glyph.coordinates.toInt()
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = (ROOT_WIDTH, round(bearing * share))


def keep_script_forms(font, characters):
    """Drop the letters' own forms for small sizes, half of the font's bytes; without its own a prime would be too small."""
    kept = {font.getBestCmap()[ord(character)] for character in characters}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            for forms in ("mapping", "alternates"):
                if hasattr(table, forms):
                    setattr(
                        table, forms, {glyph: form for glyph, form in getattr(table, forms).items() if glyph in kept}
                    )


def signs(formulas):
    """The characters that browsers draw for these formulas: <msqrt> has a root, and a letter alone in <mi> is italic."""
    plain = set(unicodedata.normalize("NFKC", formulas))
    return "".join(sorted({*formulas, "√", *(c for c in ITALIC if unicodedata.normalize("NFKC", c) in plain)}))


def math_font(characters):
    """STIX Two Math (SIL Open Font License) with these characters only, as the bytes of a WOFF file."""
    font = TTFont(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf", recalcTimestamp=False)
    narrow_roots(font)
    keep_script_forms(font, "′")
    keep = subset.Options(name_IDs=[0, 1, 2, 13, 14], layout_features=["ssty"], hinting=False, glyph_names=False)
    subsetter = subset.Subsetter(keep)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID == 1:
            record.string = "Book Math"  # it is no longer the font that was published
    font.flavor = "woff"
    file = io.BytesIO()
    font.save(file)
    return file.getvalue()


def write_font(app, exception):
    """Once all pages are written, make the font of the signs in their formulas."""
    if exception or app.builder.name != "html":
        return
    pages = [page.read_text(encoding="utf-8") for page in sorted(Path(app.outdir).glob("*.html"))]
    formulas = "".join(
        re.sub("<[^>]*>", "", math) for page in pages for math in re.findall("<math.*?</math>", page, re.DOTALL)
    )
    (Path(app.outdir) / "_static" / "math.woff").write_bytes(math_font(signs(formulas)))


def setup(app):
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
