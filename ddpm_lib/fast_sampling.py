# Exported from notebooks/08_fast_sampling.ipynb: edit the notebook, not this file.
"""The same garments in fifty steps, or in twenty: DDIM, its way back, and DPM-Solver++."""

from itertools import pairwise

import torch
from tqdm import tqdm

from ddpm_lib.forward import check_float, noise_like
from ddpm_lib.sampling import evaluating, initial_noise
from ddpm_lib.schedule import check_time, per_image


def sampling_times(schedule, steps, spacing="time"):
    """The times of a sampler that takes `steps` steps, 1..T: `steps + 1` different integers from T down to 0.

    `spacing` is "time" (even in t), "quadratic" (even in the root of t: shorter steps near 0) or "log_snr" (even in
    log(alpha_bar / (1 - alpha_bar)) from T to 1, then the step to 0).
    """
    T = schedule.T
    if not isinstance(steps, int) or isinstance(steps, bool):
        raise TypeError(f"steps must be an integer, got {type(steps).__name__}")
    if not 1 <= steps <= T:
        raise ValueError(f"steps must lie in 1..T = {T}, got {steps}")
    if spacing not in ("time", "quadratic", "log_snr"):
        raise ValueError(f"spacing must be 'time', 'quadratic' or 'log_snr', got {spacing!r}")
    wanted = T * torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** (2 if spacing == "quadratic" else 1)
    if spacing == "log_snr":
        log_snr = schedule.snr[1:].log()  # falls with t = 1..T
        even = log_snr[0] + (log_snr[-1] - log_snr[0]) * torch.linspace(0, 1, steps, dtype=torch.float64)
        wanted[1:] = 1 + (log_snr[:, None] - even).abs().argmin(0)
    wanted[-1] = T  # where steps = 1, the one step starts at T
    place = torch.arange(steps + 1)
    different = (wanted.round().long() - place).cummax(0).values + place  # of two on one t the later moves up
    return torch.minimum(different, T - steps + place).flip(0).tolist()


def predict(model, x_t, t, schedule, clip=True):
    """What the model makes of x_t `(N, ...)`, t in 1..T: the implied x_0, and the noise that goes with it.

    With `clip`, x_0 is clipped to [-1, 1] and the noise is computed anew, so that Eq. 4 still joins the two to x_t.
    """
    noise = model(x_t, t).to(x_t.dtype)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    if not clip:
        return x_0, noise
    x_0 = x_0.clamp(-1, 1)
    return x_0, schedule.predict_noise(x_t, t, x_0)


def check_step(x_t, t, s, schedule):
    """Check a step of x_t from t, in 1..T, to an earlier s, in 0..t - 1; return both as int64 tensors `(N,)`."""
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    try:
        s = check_time(s, len(x_t), 0, schedule.T).expand(len(x_t))
    except (TypeError, ValueError) as error:  # its messages speak of t
        raise type(error)("s" + str(error).removeprefix("t")) from None
    if not (s < t).all():
        raise ValueError(f"s must be smaller than t, the step goes towards 0; got s = {s.tolist()}, t = {t.tolist()}")
    return t, s


@torch.no_grad()
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    """One DDIM step from x_t `(N, ...)` to x_s, 0 <= s < t <= T (Song et al. 2021, Eq. 12, 16); t, s: ints or `(N,)`.

    `eta` in [0, 1] is the share of the step's noise: 0 adds none, 1 is Algorithm 2 with beta_tilde where s = t - 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1], got {eta}")
    t, s = check_step(x_t, t, s, schedule)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    kept = (1 - then - sigma**2).clamp(min=0).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image(kept, x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


def ddim_process(model, schedule, x_T, times, eta=0.0, generator=None, clip=True, progress=True):
    """Run DDIM from `x_T` `(N, ...)` through `times`, as `sampling_times` gives them; yield `(t, x_t)` for each."""
    check_float("x_T", x_T)
    x_t = x_T
    yield times[0], x_t
    with evaluating(model):
        for t, s in tqdm(list(pairwise(times)), desc="sampling", disable=not progress):
            x_t = ddim_step(model, x_t, t, s, schedule, eta, generator, clip)
            yield s, x_t


def starting_noise(model, shape, generator=None, x_T=None):
    """`x_T` itself if it is given and has `shape`, else fresh noise of that shape."""
    if x_T is not None and tuple(x_T.shape) != tuple(shape):
        raise ValueError(f"x_T must have the shape {tuple(shape)}, got {tuple(x_T.shape)}")
    return initial_noise(model, shape, generator) if x_T is None else x_T


def ddim_sample(
    model, schedule, shape, steps=50, eta=0.0, generator=None, clip=True, progress=True, spacing="time", x_T=None
):
    """Draw images with DDIM in `steps` model calls, 1..T; returns x_0 of `shape`, `(N, C, H, W)` or `(N, D)`.

    At `eta` = 0 the picture depends on x_T alone, which is drawn from `generator` unless it is given; at 1 every step
    adds its full noise. `clip` as in `sample`, `spacing` as in `sampling_times`.
    """
    times = sampling_times(schedule, steps, spacing)
    x_T = starting_noise(model, shape, generator, x_T)
    for _, x_t in ddim_process(model, schedule, x_T, times, eta, generator, clip, progress):  # noqa: B007
        pass
    return x_t


@torch.no_grad()
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    """Run DDIM (eta = 0, unclipped) backwards, from x_0 `(N, ...)` to the x_T from which it leads back to x_0."""
    check_float("x_0", x_0)
    times = sampling_times(schedule, steps, spacing)[::-1]  # from 0 to T
    x_t = x_0
    with evaluating(model):
        for t, s in tqdm(list(pairwise(times)), desc="encoding", disable=not progress):
            noise = model(x_t, torch.full((len(x_t),), s)).to(x_t.dtype)  # at s, as the step back will ask for it
            x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


@torch.no_grad()
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    """One step of DPM-Solver++ (2M) from x_t `(N, ...)` to x_s, 0 <= s < t <= T (Lu et al. 2022, Algorithm 2).

    `previous` is the `(r, x_0)` that the step before returned: its time r > t and its prediction. Without it, and where
    s = 0, the step is of first order. Returns `x_s` and this step's own `(t, x_0)`.
    """
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None:
        r, x_0_before = previous
        lamda = (signal / spread).log()  # half the log-SNR; infinite at t = 0
        reach = torch.where(s > 0, (lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), 0.0)
        target = x_0 + per_image(reach, x_t) * (x_0 - x_0_before)
    shrink = spread[s] / spread[t]
    return per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target, (t, x_0)


def dpm_solver_process(model, schedule, x_T, times, clip=True, progress=True):
    """Run DPM-Solver++ (2M) from `x_T` `(N, ...)` through `times`, as `sampling_times` gives them; yield `(t, x_t)`."""
    check_float("x_T", x_T)
    x_t, previous = x_T, None
    yield times[0], x_t
    with evaluating(model):
        for t, s in tqdm(list(pairwise(times)), desc="sampling", disable=not progress):
            x_t, previous = dpm_solver_step(model, x_t, t, s, schedule, previous, clip)
            yield s, x_t


def dpm_solver_sample(
    model, schedule, shape, steps=20, generator=None, clip=True, progress=True, spacing="time", x_T=None
):
    """Draw images with DPM-Solver++ (2M) in `steps` calls, 1..T; returns x_0 of `shape`, `(N, C, H, W)` or `(N, D)`.

    The picture depends on x_T alone, which is drawn from `generator` unless it is given. `clip` as in `sample`,
    `spacing` as in `sampling_times`.
    """
    times = sampling_times(schedule, steps, spacing)
    x_T = starting_noise(model, shape, generator, x_T)
    for _, x_t in dpm_solver_process(model, schedule, x_T, times, clip, progress):  # noqa: B007
        pass
    return x_t
