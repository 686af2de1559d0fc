"""Draw the README's two pictures from one run of Algorithm 2 by the shipped model: 24 garments on their way out of the noise.

python -m benchmarks.artefacts.readme_picture      # writes docs/from_noise.gif and, for those who want no motion, docs/from_noise.png
"""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torchvision.utils import make_grid

from course.lessons import ROOT
from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.sampling import even_times, sample_trajectory
from ddpm_lib.viz import to_pixels

FOLDER = ROOT / "docs"
SCALE = 3  # screen pixels a picture's pixel


def enlarge(picture):
    """A grid of grey pictures `(3, H, W)` in [-1, 1] as bytes `(SCALE H, SCALE W)`."""
    pixels = to_pixels(picture)[..., 0]
    return pixels.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def movie_frame(images, t, T):
    """One frame of the movie: the images `(N, 1, 28, 28)` in a grid, and under it a slider that stands at t."""
    pixels = enlarge(make_grid(images.clamp(-1, 1), nrow=8, padding=2, pad_value=1.0))
    frame = Image.new("L", (pixels.shape[1], pixels.shape[0] + 36), 255)
    frame.paste(Image.fromarray(pixels))
    draw, y, left, right = ImageDraw.Draw(frame), pixels.shape[0] + 16, 110, pixels.shape[1] - 24
    x = left + (right - left) * (1 - t / T)
    draw.text((8, y), f"t = {t}", fill=0, font_size=20, anchor="lm")
    draw.line((left, y, right, y), fill=187, width=4)
    draw.line((left, y, x, y), fill=68, width=4)
    draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=0)
    return frame.point(lambda grey: (grey + 8) // 17 * 17)  # 16 greys: noise is what a GIF compresses worst


def save_movie(path, frames, milliseconds):
    """An endless GIF with one duration a frame."""
    first, *others = [frame.quantize(16, dither=Image.Dither.NONE) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=True)


def main():
    model, schedule = load_pretrained()
    times = even_times(schedule.T, 100)
    generator = torch.Generator().manual_seed(4)
    trajectory = sample_trajectory(model, schedule, (24, 1, 28, 28), generator=generator, frames=101)
    shown = [k for k, t in enumerate(times) if t <= 300 or t % 100 == 0]  # most is decided late
    frames = [movie_frame(trajectory[k], times[k], schedule.T) for k in shown]
    FOLDER.mkdir(exist_ok=True)
    save_movie(FOLDER / "from_noise.gif", frames, [600, *[80] * (len(shown) - 2), 3000])

    moments = [times.index(t) for t in (1000, 600, 400, 300, 200, 150, 100, 50, 0)]
    columns = trajectory[moments, :8].transpose(0, 1).flatten(0, 1)  # one row a garment, noise on the left
    still = enlarge(make_grid(columns.clamp(-1, 1), nrow=len(moments), padding=2, pad_value=1.0))
    Image.fromarray(np.ascontiguousarray(still)).save(FOLDER / "from_noise.png", optimize=True)


if __name__ == "__main__":
    main()
