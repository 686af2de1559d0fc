# Exported from notebooks/06_reverse_sampling.ipynb: edit the notebook, not this file.
"""From pure noise back to pictures, one step at a time: Algorithm 2."""

from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn
from tqdm import tqdm

from ddpm_lib.forward import check_float, noise_like
from ddpm_lib.schedule import check_integer, per_image, time_of_each


@contextmanager
def evaluating(model):
    """Put a `torch.nn.Module` into evaluation mode (no dropout) for a while; any other callable is left as it is.

    Afterwards each part of it is as it was: what was frozen in evaluation mode stays so.
    """
    training = [part for part in model.modules() if part.training] if isinstance(model, nn.Module) else []
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@torch.no_grad()
def predicted_noise(model, x_t, t):
    """The noise that the model, in evaluation mode, sees in x_t `(N, ...)` at t, one number or `(N,)`; in the dtype of x_t."""
    with evaluating(model):
        return model(x_t, time_of_each(t, x_t)).to(x_t.dtype)


def predict(model, x_t, t, schedule, clip=True):
    """What the model makes of x_t `(N, ...)`, t in 1..T: the implied x_0, and the noise that goes with it.

    With `clip`, x_0 is clipped to [-1, 1] and the noise is computed anew, so that Eq. 4 still joins the two to x_t.
    """
    noise = predicted_noise(model, x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    if not clip:
        return x_0, noise
    x_0 = x_0.clamp(-1, 1)
    return x_0, schedule.predict_noise(x_t, t, x_0)


@torch.no_grad()
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    """One step of Algorithm 2 from x_t `(N, ...)` to x_s, 0 <= s < t <= T, ints or `(N,)`; s = t - 1 where it is None.

    The mean is that of q(x_s | x_t, x_0) (Eq. 7) at the x_0 which the predicted noise implies, clipped to [-1, 1] if `clip`.
    `variance` is "beta_tilde" or "beta" (Sec. 3.2), of the whole step. The step that lands on t = 0 adds no noise.
    """
    if variance not in ("beta_tilde", "beta"):
        raise ValueError(f"variance must be 'beta_tilde' or 'beta', got {variance!r}")
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0, _ = predict(model, x_t, t, schedule, clip)
    mean, added = schedule.posterior(x_t, t, x_0, s)
    if variance == "beta":
        added = per_image((1 - schedule.alpha_bars[t] / schedule.alpha_bars[s]) * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


def walk(step, x_T, times, progress=True):
    """Go from x_T, the state at times[0], along `times`; yield `(t, x_t)` for each of them, holding one state at a time.

    `step(x_t, t, s)` takes the state at one time of the list to the state at the next.
    """
    x_t = x_T
    yield times[0], x_t
    for t, s in tqdm(list(pairwise(times)), desc="walking", disable=not progress):
        x_t = step(x_t, t, s)
        yield s, x_t


def last_state(states):
    """The last x of a walk, taken to its end."""
    for _, x in states:  # noqa: B007
        pass
    return x


def initial_noise(model, shape, generator=None, x_T=None):
    """`x_T` itself if it is given and has `shape`, else standard normal noise in the dtype and on the device of the model's parameters."""
    if len(shape) < 2 or any(size < 1 for size in shape):
        raise ValueError(f"shape must be (N, C, H, W) or (N, D) with positive sizes, got {tuple(shape)}")
    if x_T is None:
        parameters = model.parameters() if isinstance(model, nn.Module) else ()
        like = next(iter(parameters), torch.empty(0))  # a model without parameters works in float32 on the CPU
        return noise_like(like.new_empty(tuple(shape)), generator)
    check_float("x_T", x_T)
    if tuple(x_T.shape) != tuple(shape):
        raise ValueError(f"x_T must have the shape {tuple(shape)}, got {tuple(x_T.shape)}")
    return x_T


def even_times(T, steps=None):
    """The times of `steps` even steps, 1..T, all T if None: `steps + 1` different integers from T down to 0."""
    steps = T if steps is None else check_integer("steps", steps, 1, T)
    return [round(T * k / steps) for k in range(steps, -1, -1)]


def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    """Draw new images from pure noise (Algorithm 2). `shape` is `(N, C, H, W)` or `(N, D)`; returns x_0 of that shape.

    `steps` is a number of even steps, 1..T, all T if None. `x_T` is drawn from `generator` unless it is given. With `clip`
    the predicted x_0 is kept in [-1, 1] at every step: right for images, wrong for points that lie outside.
    """

    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    times = even_times(schedule.T, steps)
    return last_state(walk(step, initial_noise(model, shape, generator, x_T), times, progress))


def sample_trajectory(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True, frames=50
):
    """Like `sample`, but returns `frames` states on the way, from x_T to x_0, stacked: `(frames, *shape)`, on the CPU.

    `frames` is 2..steps + 1; with all T steps, the states are those at `even_times(T, frames - 1)`.
    """

    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    times = even_times(schedule.T, steps)
    kept = even_times(len(times) - 1, check_integer("frames", frames, 2, len(times)) - 1)  # which states, counted from the last
    kept = {times[-1 - k] for k in kept}  # and their times
    states = walk(step, initial_noise(model, shape, generator, x_T), times, progress)
    return torch.stack([x_t.cpu() for t, x_t in states if t in kept])


class Batched(nn.Module):
    """`model`, asked about at most `size` images at a time: every tensor argument is split along N. The same answers in less memory."""

    def __init__(self, model, size):
        super().__init__()
        self.model, self.size = model, check_integer("size", size, 1)

    def forward(self, x_t, t, *others, **named):
        def portion(value, k):
            return value[k : k + self.size] if torch.is_tensor(value) and value.ndim else value

        answers = []
        for k in range(0, x_t.shape[0], self.size):
            arguments = [portion(value, k) for value in (x_t, t, *others)]
            answers.append(self.model(*arguments, **{name: portion(value, k) for name, value in named.items()}))
        return torch.cat(answers)  # (N, ...)
