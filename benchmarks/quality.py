"""What the measurements of quality share: n pictures from one seed, drawn by any sampler of notebooks 06 and 08, and both rulers' verdict on them."""

import contextlib

import torch

from ddpm_lib.evaluation import garment_distances
from ddpm_lib.fast_sampling import ddim_sample, dpm_solver_sample
from ddpm_lib.sampling import Batched, sample


def draw(model, schedule, n, seed, sampler, steps, eta=None, spacing=None, clip=True, precision="bfloat16", batch=100):
    """`n` pictures `(n, 1, 28, 28)` in float32 on the CPU, `batch` at a time, all from one generator with that seed.

    `sampler` is "ancestral", "ddim" or "dpm_solver". Every sampler draws x_T first, so that all start from the same x_T. `precision`
    "bfloat16" is autocast.
    """
    device, shape = next(model.parameters()).device, (n, 1, 28, 28)
    common = {"generator": torch.Generator().manual_seed(seed), "clip": clip}
    half = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
    with half, torch.no_grad():
        if sampler == "ancestral":
            pictures = sample(Batched(model, batch), schedule, shape, steps, **common)
        elif sampler == "ddim":
            pictures = ddim_sample(Batched(model, batch), schedule, shape, steps, eta, spacing=spacing, **common)
        else:
            pictures = dpm_solver_sample(Batched(model, batch), schedule, shape, steps, spacing=spacing, **common)
    return pictures.float().cpu()


def distances(pictures):
    """Both rulers' distances and floors, rounded."""
    found = garment_distances(pictures.clamp(-1, 1))
    return {name: value if name == "n" else round(value, 4) for name, value in found.items()}
