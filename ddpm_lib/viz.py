# Exported from notebooks/99_sliders.ipynb: edit the notebook, not this file.
"""Looking at pictures: a row of images, a captioned figure, and a scrubber that needs no kernel."""

import base64
import gc
import html
import io
import json
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, ImageDraw, ImageFont


def to_pixels(images):
    """Float images in [-1, 1], `(..., C, H, W)` with 1 or 3 channels, as uint8 `(..., H, W, C)`; values outside are clipped."""
    if not torch.is_tensor(images) or not images.is_floating_point():
        raise TypeError(f"images must be a float tensor, got {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim < 3 or images.shape[-3] not in (1, 3):
        raise ValueError(f"images must have shape (..., C, H, W) with C = 1 or 3, got {tuple(images.shape)}")
    pixels = (images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return pixels.round().to(torch.uint8).movedim(-3, -1).numpy()


def show_images(images, titles=None):
    """Draw a batch of images `(N, C, H, W)` in [-1, 1], at most 10 to a row, with an optional title over each."""
    pixels = to_pixels(images)
    if pixels.ndim != 4 or len(pixels) == 0:
        raise ValueError(f"images must have shape (N, C, H, W) with N > 0, got {tuple(images.shape)}")
    if titles is not None and len(titles) != len(pixels):
        raise ValueError(f"titles must have one entry an image: got {len(titles)} for {len(pixels)} images")
    columns = min(len(pixels), 10)
    rows = -(-len(pixels) // columns)
    height = 1.05 if titles is None else 1.3
    _, axes = plt.subplots(rows, columns, figsize=(columns * 1.05, rows * height), squeeze=False, layout="constrained")
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(pixels):
            axis.imshow(pixels[i].squeeze(), cmap="gray", vmin=0, vmax=255)
            axis.set_title("" if titles is None else titles[i], fontsize=8)


def show_figure(caption, alt):
    """Display the current matplotlib figure once, with alternative text for it and a caption below it."""
    from IPython.display import Markdown, display

    figure = plt.gcf()
    display(figure, metadata={"image/png": {"alt": alt}})
    display(Markdown(f"*{caption}*"))
    plt.close(figure)


def plot_frames(draw, values, figsize=(6, 3), dpi=80):
    """Call `draw(figure, value)` for every value, each on a new figure; returns float frames `(F, 1, 3, H, W)` for `scrub`."""
    frames = []
    for value in values:
        figure = plt.figure(figsize=figsize, dpi=dpi, layout="constrained")
        draw(figure, value)
        figure.canvas.draw()
        frames.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # (H, W, 3)
        plt.close(figure)
    pixels = torch.from_numpy(np.stack(frames)).movedim(-1, 1)  # (F, 3, H, W), uint8
    return pixels[:, None].float() / 127.5 - 1


class LiveFigure:
    """A picture that follows its controls, as `live_figure` makes it; `box` is the widget, `picture` the part that changes."""

    def __init__(self, draw, figsize, dpi, alt, controls):
        import ipywidgets

        self.draw, self.alt, self.controls = draw, alt, controls
        self.canvas, self.places, self.look = FigureCanvasAgg(Figure(figsize=figsize, dpi=dpi)), {}, None
        self.picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start"})  # in its own size
        self.box = ipywidgets.VBox([*controls.values(), self.picture])
        self.redraw()
        for control in controls.values():
            control.observe(self.redraw, "value")

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The widget, and a still picture beside it: a viewer that has no kernel to ask shows the picture."""
        text = f"{self.alt} ({', '.join(f'{name} = {control.value}' for name, control in self.controls.items())})"
        still = f'<img class="ddpm-live-still" alt="{html.escape(text)}" src="{png_url(self.pixels())}">'
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": f"{still}<p><em>A still picture: its controls need a running kernel.</em></p>",
            "text/plain": text,
        }

    def pixels(self):
        """What `draw` makes of the controls' present values, uint8 `(H, W, 3)`."""
        figure = self.canvas.figure
        for axes in figure.axes:  # clear() would first reset them all, at the price of making new ones
            figure.delaxes(axes)
        figure.clear()
        figure.set_layout_engine("constrained")
        with plt.rc_context({"axes.titley": 1.0}):  # else all tick labels are measured to find a place for the title
            self.draw(figure, **{name: control.value for name, control in self.controls.items()})
            if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):  # `draw` has set no places of its own
                self.lay_out(figure)
            self.paint(figure)
        return np.asarray(self.canvas.buffer_rgba())[..., :3]

    def lay_out(self, figure):
        """Give the axes the places that fitted the first picture with as many: fitting takes as long as drawing."""
        count = len(figure.axes)
        if count not in self.places:
            figure.get_layout_engine().execute(figure)
            self.places[count] = [axes.get_position(original=True) for axes in figure.axes]
        figure.set_layout_engine("none")
        for axes, place in zip(figure.axes, self.places[count], strict=True):
            axes.set_position(place)

    def paint(self, figure):
        """Draw a figure: what moves, on a background that is drawn only if it looks different from the one before."""
        if any(axes.name != "rectilinear" for axes in figure.axes):
            return self.canvas.draw()
        look, parts = [looks(axes) for axes in figure.axes], moving_parts(figure)
        if look != self.look:
            for part in parts:
                part.set_visible(False)
            self.canvas.draw()
            self.look, self.background = look, self.canvas.copy_from_bbox(figure.bbox)
            for part in parts:
                part.set_visible(True)
        self.canvas.restore_region(self.background)
        for part in parts:
            part.draw(self.canvas.get_renderer())

    def redraw(self, _=None):
        """Show the picture for the controls' present values."""
        collecting = gc.isenabled()
        gc.disable()  # a full collection in mid-picture takes longer than the picture
        try:
            buffer = io.BytesIO()
            Image.fromarray(self.pixels()).save(buffer, "PNG", compress_level=1)
            self.picture.value = buffer.getvalue()
        finally:
            if collecting:
                gc.enable()
            gc.collect(0)  # the axes of the picture before


def live_figure(draw, figsize=(6, 3), dpi=80, alt="A picture that follows its controls", **controls):
    """A picture that follows its controls: `draw(figure, **values)` is called anew whenever one of the ipywidgets `controls`,
    given by the name of the argument it sets, moves; one without a description is labelled with that name. Returns a
    `LiveFigure`, which Jupyter displays. It needs a kernel; without one, readers see the first picture, and `alt` is its text.
    """
    for name, control in controls.items():
        control.description = control.description or name
    return LiveFigure(draw, figsize, dpi, alt, controls)


def looks(axes):
    """What the frame, the ticks and the labels of `axes` look like, to compare with the picture before."""
    axes.apply_aspect()
    seen = [axes.get_position().bounds, axes.axison, axes.get_facecolor()]
    for axis in (axes.xaxis, axes.yaxis):
        ticks = axis.get_majorticklocs()
        names = axis.get_major_formatter().format_ticks(ticks)
        seen += [axis.get_label_text(), axis.get_scale(), *axis.get_view_interval(), *ticks, *names, *axis.get_minorticklocs()]
    return tuple(seen)


def moving_parts(figure):
    """What may change while `looks` stays, in the order in which it is drawn: everything but backgrounds, ticks and labels."""
    parts = []
    for axes in figure.axes:
        still = {axes.patch, axes.xaxis, axes.yaxis} | (set() if axes.axison else set(axes.spines.values()))
        parts += sorted([part for part in axes.get_children() if part not in still], key=lambda part: part.get_zorder())
    parts += [part for part in figure.get_children() if part is not figure.patch and part not in figure.axes]
    return [part for part in parts if part.get_visible()]


def frame_pixels(frames):
    """Lay out each frame of `scrub` as one uint8 picture: `(F, H, W)` or `(F, N, C, H, W)` becomes `(F, height, width, C)`."""
    if not torch.is_tensor(frames) or frames.ndim not in (3, 5) or frames.numel() == 0:
        shape = tuple(frames.shape) if torch.is_tensor(frames) else type(frames).__name__
        raise ValueError(f"frames must have shape (F, H, W) or (F, N, C, H, W) and not be empty, got {shape}")
    if frames.ndim == 3:
        return to_pixels(frames[:, None])
    if frames.shape[1] == 1:
        return to_pixels(frames[:, 0])
    from torchvision.utils import make_grid

    grids = [make_grid(frame.detach().float().cpu(), nrow=8, padding=2, pad_value=1.0) for frame in frames]
    channels = frames.shape[2]  # make_grid turns one channel into three
    return to_pixels(torch.stack(grids))[..., :channels]


def png_url(pixels):
    """A uint8 picture `(H, W, C)` as a PNG data address: 16 greys, or a palette of 64 colours."""
    if pixels.shape[-1] == 1:
        greys = (pixels[..., 0].astype(np.uint16) + 8) // 17 * 17  # the nearest of 0, 17, ..., 255
        picture = Image.fromarray(greys.astype(np.uint8)).quantize(16, dither=Image.Dither.NONE)
    else:
        picture = Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


PLAYER = """<!doctype html><meta charset="utf-8"><style>
body{margin:0;background:#fff;color:#222;font:14px sans-serif}canvas{display:block;max-width:100%;RENDERING}
label{display:flex;gap:1em;align-items:center;max-width:WIDTHpx;margin-top:6px}input{flex:1;margin:0}
output{min-width:9em;font-variant-numeric:tabular-nums}</style>
<canvas width="FRAME_W" height="FRAME_H" style="width:WIDTHpx" role="img" aria-label="CAPTION"></canvas>
<label><input type="range" min="0" max="LAST" value="0" aria-label="CAPTION"><output></output></label>
<script>
const labels=LABELS,sprite=new Image(),canvas=document.querySelector("canvas"),slider=document.querySelector("input");
function show(){const k=+slider.value,w=FRAME_W,h=FRAME_H;document.querySelector("output").textContent=labels[k];
slider.setAttribute("aria-valuetext",labels[k]);
canvas.getContext("2d").drawImage(sprite,k%COLUMNS*w,Math.floor(k/COLUMNS)*h,w,h,0,0,w,h)}
slider.oninput=show;sprite.onload=show;sprite.src="SPRITE";
</script>"""


def player_page(pixels, labels, caption, width):
    """The scrubber's own small page: every frame in one sprite, a range input, and a canvas that shows one frame of it."""
    count, height, frame_width, _ = pixels.shape
    columns = int(np.ceil(np.sqrt(count)))  # a square sheet, since browsers limit a picture's height
    sheet = np.zeros((-(-count // columns) * columns, *pixels.shape[1:]), dtype=np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(-1, columns, *pixels.shape[1:]).swapaxes(1, 2)  # (rows, H, columns, W, C)
    sheet = sheet.reshape(-1, columns * frame_width, pixels.shape[-1])
    values = {
        "FRAME_W": frame_width,
        "FRAME_H": height,
        "WIDTH": width,
        "LAST": count - 1,
        "COLUMNS": columns,
        "CAPTION": html.escape(caption),
        "LABELS": json.dumps(labels).replace("</", "<\\/"),
        "SPRITE": png_url(sheet),
        "RENDERING": "image-rendering:pixelated" if width > frame_width else "",
    }
    return re.sub("|".join(values), lambda match: str(values[match.group()]), PLAYER)


def still_card(frame, label, width, scale):
    """A frame `(H, W, C)`, enlarged `scale` times, with its label above it in 11 points, on white of a certain width: uint8."""
    frame = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    picture = Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame)
    card = Image.new(picture.mode, (width + 8, picture.height + 28), "white")
    card.paste(picture, (4, 24))
    ImageDraw.Draw(card).text((4, 3), label, fill="black", font=label_font())
    return np.asarray(card).reshape(card.height, card.width, -1)


def label_font():
    """The font that comes with matplotlib: it has the Greek letters."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 15)


def stills(pixels, labels, caption, scale):
    """At most 8 of the frames `(F, H, W, C)` as HTML pictures, fewer if they are large, from the first to the last."""
    _, height, frame_width, _ = pixels.shape
    count = min(len(pixels), 8, max(3, round(400_000 / (height * frame_width * scale**2))))
    chosen = np.linspace(0, len(pixels) - 1, count).round().astype(int)
    width = max(frame_width * scale, *(int(label_font().getlength(labels[i])) + 1 for i in chosen))
    pictures = []
    for k, i in enumerate(chosen):
        alt = html.escape(f"{caption if k == 0 else 'The same'}: {labels[i]} (still {k + 1} of {count})")
        card = still_card(pixels[i], labels[i], width, scale)
        pictures.append(f'<img class="ddpm-still" alt="{alt}" src="{png_url(card)}">')
    return '<div class="ddpm-stills">' + "\n".join(pictures) + "</div>"


def scrub(frames, labels, caption="Drag the slider through the frames"):
    """A slider through precomputed pictures that needs no kernel: `frames` `(F, H, W)` or `(F, N, C, H, W)` in [-1, 1],
    one label a frame. Returns an object that Jupyter displays. Where scripts are not trusted or don't run, and in print,
    a few of the frames stand in its place, each with its label.
    """
    from IPython.display import HTML

    pixels = frame_pixels(frames)
    labels = [str(label) for label in labels]
    if len(labels) != len(pixels):
        raise ValueError(f"labels must have one entry a frame: got {len(labels)} for {len(pixels)} frames")
    height, frame_width = pixels.shape[1:3]
    width = frame_width * max(1, 560 // frame_width)
    page = html.escape(player_page(pixels, labels, caption, width))
    scale = max(-(-56 // frames.shape[-1]), -(-120 // frame_width))  # an image is at least 56 wide, a frame 120
    return HTML(
        "<style>.ddpm-still{display:none!important}"
        "@media print,(scripting:none){.ddpm-still{display:inline!important}.ddpm-player{display:none!important}}</style>"
        f'<iframe title="{html.escape(caption)}" class="ddpm-player" sandbox="allow-scripts" loading="lazy" srcdoc="{page}" '
        f'style="width:100%;max-width:{width}px;height:{height * width // frame_width + 40}px;border:0"></iframe>'
        f"{stills(pixels, labels, caption, scale)}<p><em>{html.escape(caption)}</em></p>"
    )
