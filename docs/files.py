"""Pictures and scrubbers of an output as files of their own, which a page loads when they come near."""

import base64
import html
import re
import struct

FRAME = re.compile(
    r'<iframe title="([^"]*)" .*?srcdoc="([^"]*)" style="[^"]*max-width:(\d+)px;height:(\d+)px[^"]*"></iframe>'
    r'(?:<div class="ddpm-stills">)?((?:\s*<img class="ddpm-still"[^>]*>)*)(?:</div>)?'
)
STILL = re.compile(r'<img [^>]*alt="([^"]*)" src="data:image/png;base64,([^"]*)">')


def png_size(data):
    return struct.unpack(">II", data[16:24])


class Files:
    """The pictures and scrubbers of one notebook, numbered, in folders beside the pages."""

    def __init__(self, folder, stem):
        self.folder, self.stem, self.count = folder, stem, 0

    def add(self, kind, suffix, data):
        """Write a file; returns its address relative to the pages."""
        self.count += 1
        name = f"{kind}/{self.stem}_{self.count:02d}.{suffix}"
        (self.folder / kind).mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)
        return name

    def picture(self, data, alt):
        """An `<img>` for the bytes of a PNG: a file, its size, its alternative text (as HTML)."""
        width, height = png_size(data)
        src = self.add("pictures", "png", data)
        return f'<img src="{src}" alt="{alt}" width="{width}" height="{height}" loading="lazy" decoding="async">'

    def still(self, match):
        """The same for a picture inside an HTML output."""
        return self.picture(base64.b64decode(match.group(2)), match.group(1))

    def scrubber(self, match):
        """An `<iframe>` whose player is a page of its own, and whose height follows the width of the screen; its stills after it."""
        title, page, width, height, stills = match.groups()
        head = (
            f'<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>{title}</title>'
        )
        page = html.unescape(page).replace("<!doctype html>", head, 1)
        src = self.add("scrubbers", "html", page.encode())
        frame = f'<iframe title="{title}" sandbox="allow-scripts" loading="lazy" src="{src}"></iframe>'
        frame += f'<span class="stills">{STILL.sub(self.still, stills)}</span>' if stills else ""
        return f'<div class="scrubber" style="--width:{width}px;--ratio:{(int(height) - 40) / int(width):.4f}">{frame}</div>'

    def players(self, page):
        """HTML with pictures and scrubbers in it, as the pages have it: they have a style of their own."""
        page = FRAME.sub(self.scrubber, page)
        page = re.sub(r"<style>\.ddpm-still.*?</style>", "", page)
        return STILL.sub(self.still, page)
