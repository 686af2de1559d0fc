"""The pictures: what the scrubber holds is what it was given, and it stands without scripts, kernel or network."""

import base64
import gc
import html
import io
import json
import re

import matplotlib
import numpy as np
import pytest
import torch
from conftest import seeded
from PIL import Image

from ddpm_lib.viz import live_figure, plot_frames, scrub, show_figure, show_images, to_pixels

matplotlib.use("Agg")
plt = matplotlib.pyplot
pytest.importorskip("ipywidgets", reason="pictures are displayed by Jupyter")


def page_of(widget):
    """The scrubber's own page, and its sprite as an array."""
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', widget.data).group(1))
    sprite = base64.b64decode(re.search(r'sprite.src="data:image/png;base64,([^"]+)"', page).group(1))
    return page, np.asarray(Image.open(io.BytesIO(sprite)).convert("RGB"))


def test_sprite_holds_every_frame_in_order():
    greys = torch.linspace(-1, 1, 16)
    frames = greys[:, None, None].expand(16, 5, 7)
    page, sprite = page_of(scrub(frames, [f"t = {i}" for i in range(16)]))
    assert sprite.shape == (4 * 5, 4 * 7, 3)
    shown = [sprite[i // 4 * 5 + 2, i % 4 * 7 + 3, 0] for i in range(16)]
    assert shown == [17 * i for i in range(16)]
    assert json.loads(re.search(r"labels=(\[.*?\])", page).group(1)) == [f"t = {i}" for i in range(16)]


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 1, 1, 8, 8), (3, 4, 1, 8, 8), (3, 12, 3, 8, 8), (2, 1, 3, 8, 8)])
def test_all_frame_shapes_are_drawn(shape):
    page, sprite = page_of(scrub(torch.randn(shape, generator=seeded()), range(shape[0])))
    width, height = (int(re.search(rf'{side}="(\d+)"', page).group(1)) for side in ("width", "height"))
    assert sprite.shape[0] % height == 0 and sprite.shape[1] % width == 0
    colour = len(shape) == 5 and shape[2] == 3
    assert (np.ptp(sprite, axis=2) > 0).any() == colour


def test_scrubber_asks_nothing_of_the_network_and_can_be_read_aloud():
    widget = scrub(torch.zeros(3, 8, 8), "abc", caption='A "quoted" <b>caption</b> & more')
    page, _ = page_of(widget)
    assert not re.search(r"https?://|\bsrc=['\"]?(?!data:)", page.replace("sprite.src", ""))
    assert 'sandbox="allow-scripts"' in widget.data and "aria-label" in page
    assert "<b>" not in page  # text of the caller is never markup
    assert len(re.findall(r'<img class="ddpm-still" alt="[^"]+', widget.data)) == 3, "stills stand in where scripts are not trusted"


def stills_of(widget):
    """The stills that stand in for a scrubber: (alternative text, picture), ..."""
    found = re.findall(r'<img class="ddpm-still" alt="([^"]*)" src="data:image/png;base64,([^"]*)"', widget.data)
    return [(alt, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))) for alt, data in found]


def test_stills_are_a_few_enlarged_frames_from_the_first_to_the_last():
    greys = (torch.arange(16) * 17 / 127.5 - 1).repeat(3)[:41]
    stills = stills_of(scrub(greys[:, None, None].expand(41, 28, 28), [f"t = {i}" for i in range(41)], "Greys"))
    chosen = [int(re.search(r"t = (\d+)", alt).group(1)) for alt, _ in stills]
    assert len(stills) == 8 and chosen[0] == 0 and chosen[-1] == 40 and max(np.diff(chosen)) <= 6
    assert stills[0][0] == "Greys: t = 0 (still 1 of 8)" and stills[1][0] == "The same: t = 6 (still 2 of 8)"
    for i, (_, still) in zip(chosen, stills, strict=True):
        assert still.shape[1] >= 120 + 8
        assert np.ptp(still[-100:-8, 8:-8]) == 0 and still[-50, 50, 0] == i % 16 * 17


def test_stills_carry_their_labels_in_the_picture():
    """Above the frame, as high as 8 points at least, and whole however long it is."""
    labels = ["H", "W", "β̃ and ᾱ in a label that is wider than its frame, H"]
    stills = [still for _, still in stills_of(scrub(torch.full((3, 28, 28), -1.0), labels))]
    bars = [still[:22].min(axis=2) < 128 for still in stills]
    assert not np.array_equal(bars[0], bars[1]) and len({still.shape for still in stills}) == 1
    rows = np.flatnonzero(bars[0].any(axis=1))
    assert np.ptp(rows) + 1 >= 8 / 0.75 * 0.7, "a capital letter has seven tenths of its font's size"
    assert bars[2].any(axis=0)[150:].sum() > 50 and not bars[2][:, -4:].any()


def test_large_frames_leave_fewer_stills():
    plots = torch.rand(41, 1, 3, 208, 448, generator=seeded()) * 2 - 1
    stills = stills_of(scrub(plots, range(41)))
    assert 3 <= len(stills) <= 4 and all(still.shape[1] == 448 + 8 for _, still in stills), "in their own size"
    assert len(stills_of(scrub(torch.zeros(2, 28, 28), "ab"))) == 2


def test_fifty_frames_of_noise_stay_small():
    frames = torch.randn(50, 8, 1, 28, 28, generator=seeded()) / 2
    data = scrub(frames, range(50)).data
    assert len(data) < 300 * 1024 and sum(map(len, re.findall(r'<img [^>]*">', data))) < 60 * 1024


def test_pixels_clip_and_round():
    images = torch.tensor([-2.0, -1, 0, 1, 2]).reshape(1, 1, 1, 5)
    assert to_pixels(images).flatten().tolist() == [0, 0, 128, 255, 255]


def test_plot_frames_feed_the_scrubber():
    def draw(figure, value):
        figure.subplots().plot([0, 1], [0, value])

    frames = plot_frames(draw, [1, 2, 3], figsize=(2, 1))
    assert frames.shape == (3, 1, 3, 80, 160) and -1 <= frames.min() and frames.max() <= 1
    assert not torch.equal(frames[0], frames[1])
    assert plt.get_fignums() == []


def live_plot(draw=None, **extra):
    """A live figure of one slider, and the values that it has drawn."""
    ipywidgets = pytest.importorskip("ipywidgets")
    seen = []

    def line(figure, t):
        seen.append(t)
        figure.subplots().plot([0, t])

    slider = ipywidgets.IntSlider(value=1, min=0, max=10)
    return live_figure(draw or line, t=slider, **extra), slider, seen


def read_png(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_live_figure_redraws_when_a_control_moves():
    live, slider, seen = live_plot()
    before = live.picture.value
    slider.value = 7
    assert seen == [1, 7] and live.picture.value != before and plt.get_fignums() == []
    assert live.box.children == (slider, live.picture)


def test_live_figure_labels_a_control_with_its_argument_unless_it_has_a_label():
    ipywidgets = pytest.importorskip("ipywidgets")
    seed = ipywidgets.IntSlider(description="the seed")
    _, slider, _ = live_plot(lambda figure, t, seed: figure.subplots(), seed=seed)
    assert (slider.description, seed.description) == ("t", "the seed")


def test_live_figure_shows_the_same_picture_for_the_same_values():
    """Nothing of the picture before stays, although the figure is used again; the collector is on again, too."""
    live, slider, _ = live_plot()
    first = live.picture.value
    for value in (7, 3, 1):
        slider.value = value
    assert live.picture.value == first and gc.isenabled()


def test_live_figure_fits_its_axes_once_and_leaves_places_by_hand_alone():
    def two(figure, t):
        for axes in figure.subplots(1, 2):
            axes.set_ylabel("one\ntwo" * (1 + 9 * (t == 5)))

    def by_hand(figure, t):
        figure.set_layout_engine("none")
        figure.add_axes([0.5, 0.5, 0.1 + t / 100, 0.25])

    live, slider, _ = live_plot(two)
    places = [axes.get_position().bounds for axes in live.canvas.figure.axes]
    slider.value = 5
    assert [axes.get_position().bounds for axes in live.canvas.figure.axes] == places
    live, slider, _ = live_plot(by_hand)
    slider.value = 5
    assert live.canvas.figure.axes[0].get_position().bounds == pytest.approx((0.5, 0.5, 0.15, 0.25))


def test_live_figure_survives_a_picture_that_fails():
    def fragile(figure, t):
        if t == 5:
            raise ValueError("no picture for 5")
        figure.subplots().plot([0, t])

    live, slider, _ = live_plot(fragile)
    before = live.picture.value
    with pytest.raises(ValueError, match="no picture for 5"):
        slider.value = 5
    assert live.picture.value == before and gc.isenabled()
    slider.value = 6
    assert live.picture.value != before


def test_live_figure_leaves_a_still_picture_for_those_without_a_kernel():
    live, slider, _ = live_plot(alt='A "line" <b>that</b> climbs')
    slider.value = 4
    bundle = live._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == live.box.model_id
    (alt, still), *more = re.findall(
        r'<img [^>]*alt="([^"]*)" src="data:image/png;base64,([^"]+)"', bundle["text/html"]
    )
    assert html.unescape(alt) == 'A "line" <b>that</b> climbs (t = 4)' and "<b>" not in bundle["text/html"] and not more
    shown, kept = read_png(live.picture.value), read_png(base64.b64decode(still))
    assert shown.shape == kept.shape and abs(shown - kept).mean() < 2, "the palette may differ a little, no more"
    assert "script" not in bundle["text/html"] and "http" not in bundle["text/html"]


def test_show_images_draws_one_axis_an_image(garments):
    show_images(garments[:12], titles=[str(i) for i in range(12)])
    axes = plt.gcf().axes
    assert [axis.get_title() for axis in axes[:12]] == [str(i) for i in range(12)]
    assert np.array_equal(axes[3].images[0].get_array(), to_pixels(garments[3])[..., 0])
    assert axes[3].images[0].get_clim() == (0, 255), "brightness must not depend on the picture"
    plt.close("all")


def test_show_figure_carries_alternative_text_and_caption(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *objects, metadata=None: shown.append((objects, metadata)))
    plt.plot([0, 1])
    show_figure("Look at the line.", alt="A line")
    assert shown[0][1] == {"image/png": {"alt": "A line"}} and "Look at the line." in shown[1][0][0].data
    assert plt.get_fignums() == []


def test_bad_input_is_refused(garments):
    with pytest.raises(ValueError, match="^frames must have shape"):
        scrub(torch.zeros(2, 3, 8, 8), "ab")
    with pytest.raises(ValueError, match="^frames must have shape"):
        scrub(torch.zeros(0, 8, 8), "")
    with pytest.raises(ValueError, match="^labels must have one entry a frame: got 2 for 3"):
        scrub(torch.zeros(3, 8, 8), "ab")
    with pytest.raises(TypeError, match="^images must be a float tensor, got torch.uint8"):
        show_images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="^titles must have one entry an image"):
        show_images(garments[:3], ["one"])
    with pytest.raises(ValueError, match="^images must have shape"):
        show_images(garments[0])


def test_live_figure_paints_what_matplotlib_would_draw():
    """On a kept background or a new one, pixel for pixel: moving limits, a legend, an image without axes, another number of axes."""

    def varied(figure, t):
        first, *others = figure.subplots(1, 1 + t % 3, squeeze=False)[0]
        first.plot([0, 1, 2], [0, t, 1], label=f"t = {t}")
        first.set(title=f"t = {t}", xlabel="x", ylim=(0, 10 if t < 5 else 20))
        first.legend(loc="upper right")
        for axes in others:
            axes.imshow(np.full((4, 4), t), vmin=0, vmax=10)
            axes.axis("off")
        figure.suptitle("above all")

    live, slider, _ = live_plot(varied)
    for value in (3, 4, 3, 6, 7, 4, 0):
        slider.value = value
        painted = read_png(live.picture.value)
        live.canvas.draw()
        assert np.array_equal(painted, np.asarray(live.canvas.buffer_rgba())[..., :3]), f"t = {value}"


def test_live_figure_of_a_polar_plot_falls_back_to_plain_drawing():
    def clock(figure, t):
        figure.add_subplot(projection="polar").plot([0, t], [0, 1])

    live, slider, _ = live_plot(clock)
    before = live.picture.value
    slider.value = 2
    assert live.picture.value != before
