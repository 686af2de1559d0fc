"""Draw the picture of the README: eight garments at nine moments of one run of Algorithm 2, by the shipped model.

python benchmarks/readme_picture.py      # writes docs/from_noise.png
"""

from pathlib import Path

import torch
from torchvision.utils import make_grid, save_image

from ddpm_lib.sampling import sample_trajectory
from ddpm_lib.training import load_pretrained

if __name__ == "__main__":
    model, schedule = load_pretrained()
    frames = sample_trajectory(model, schedule, (8, 1, 28, 28), torch.Generator().manual_seed(4), frames=21)
    chosen = frames[[0, 8, 12, 14, 16, 17, 18, 19, 20]].clamp(-1, 1)  # (9, 8, 1, 28, 28): most is decided late
    columns = chosen.transpose(0, 1).flatten(0, 1)  # one row a garment, noise on the left
    picture = make_grid((columns + 1) / 2, nrow=len(chosen), padding=2, pad_value=1.0)
    picture = picture.repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    path = Path(__file__).resolve().parent.parent / "docs" / "from_noise.png"
    path.parent.mkdir(exist_ok=True)
    save_image(picture, path)
