# Exported from notebooks/06_reverse_sampling.ipynb: edit the notebook, not this file.
"""From pure noise back to pictures, one step at a time: Algorithm 2."""

from contextlib import contextmanager

import torch
from tqdm import tqdm

from ddpm_lib.forward import noise_like
from ddpm_lib.schedule import per_image


@torch.no_grad()
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    """One step of Algorithm 2: draw x_{t-1} given x_t `(N, ...)`; t in 1..T, an int or `(N,)`.

    The mean is that of q(x_{t-1} | x_t, x_0) (Eq. 7) at the x_0 which the predicted noise implies, clipped to [-1, 1] if
    `clip`. `variance` is "beta_tilde" or "beta" (Sec. 3.2). The step that lands on t = 0 adds no noise.
    """
    if variance not in ("beta_tilde", "beta"):
        raise ValueError(f"variance must be 'beta_tilde' or 'beta', got {variance!r}")
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


@contextmanager
def evaluating(model):
    """Put a `torch.nn.Module` into evaluation mode (no dropout) for a while; any other callable is left as it is."""
    was_training = getattr(model, "training", False)
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()


def initial_noise(model, shape, generator=None):
    """x_T: standard normal noise of that shape on the device of the model's parameters (the CPU if it has none)."""
    if len(shape) < 2 or any(size < 1 for size in shape):
        raise ValueError(f"shape must be (N, C, H, W) or (N, D) with positive sizes, got {tuple(shape)}")
    parameter = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return noise_like(torch.empty(tuple(shape), device=None if parameter is None else parameter.device), generator)


def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    """Run Algorithm 2 and yield `(t, x_t)` for t = T, T-1, ..., 0, holding one x_t at a time."""
    x_t = initial_noise(model, shape, generator)
    yield schedule.T, x_t
    with evaluating(model):
        for t in tqdm(range(schedule.T, 0, -1), desc="sampling", disable=not progress):
            x_t = reverse_step(model, x_t, t, schedule, generator, clip, variance)
            yield t - 1, x_t


def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    """Draw new images from pure noise (Algorithm 2). `shape` is `(N, C, H, W)` or `(N, D)`; returns x_0 of that shape.

    With `clip` the predicted x_0 is kept in [-1, 1] at every step: right for images, wrong for points that lie outside.
    """
    for _, x_t in reverse_process(model, schedule, shape, generator, clip, variance, progress):  # noqa: B007
        pass
    return x_t


def trajectory_times(T, frames):
    """The `frames` values of t, from T to 0 in even steps, that `sample_trajectory` keeps."""
    if not 2 <= frames <= T + 1:
        raise ValueError(f"frames must lie in 2..T + 1 = {T + 1}, got {frames}")
    return torch.linspace(T, 0, frames, dtype=torch.float64).round().int().tolist()


def sample_trajectory(
    model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True, frames=50
):
    """Like `sample`, but returns `frames` states on the way, from x_T to x_0, stacked: `(frames, *shape)`, on the CPU."""
    kept = set(trajectory_times(schedule.T, frames))
    states = reverse_process(model, schedule, shape, generator, clip, variance, progress)
    return torch.stack([x_t.cpu() for t, x_t in states if t in kept])
