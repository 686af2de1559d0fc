# Exported from notebooks/08_fast_sampling.ipynb: edit the notebook, not this file.
"""The same garments in fifty steps, or in twenty: DDIM, its way back, and DPM-Solver++."""

from itertools import pairwise

import torch

from ddpm_lib.forward import check_float, noise_like
from ddpm_lib.sampling import even_times, initial_noise, last_state, predict, predicted_noise, walk
from ddpm_lib.schedule import check_integer, per_image


def sampling_times(schedule, steps, spacing="time"):
    """The times of a sampler that takes `steps` steps, 1..T: `steps + 1` different integers from T down to 0.

    `spacing` is "time" (even in t), "quadratic" (even in the root of t: shorter steps near 0) or "log_snr" (even in
    log(alpha_bar / (1 - alpha_bar)) from T to 1, then the step to 0).
    """
    T = schedule.T
    steps = check_integer("steps", steps, 1, T)
    if spacing not in ("time", "quadratic", "log_snr"):
        raise ValueError(f"spacing must be 'time', 'quadratic' or 'log_snr', got {spacing!r}")
    if spacing == "time":
        return even_times(T, steps)
    wanted = T * torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** 2
    if spacing == "log_snr":
        log_snr = schedule.snr[1:].log()  # falls with t = 1..T
        even = log_snr[0] + (log_snr[-1] - log_snr[0]) * torch.linspace(0, 1, steps, dtype=torch.float64)
        wanted[1:] = 1 + (log_snr[:, None] - even).abs().argmin(0)
    wanted[-1] = T  # where steps = 1, the one step starts at T
    place = torch.arange(steps + 1)
    different = (wanted.round().long() - place).cummax(0).values + place  # of two on one t the later moves up
    return torch.minimum(different, T - steps + place).flip(0).tolist()


@torch.no_grad()
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    """One DDIM step from x_t `(N, ...)` to x_s, 0 <= s < t <= T (Song et al. 2021, Eq. 12, 16); t, s: ints or `(N,)`.

    `eta` in [0, 1] is the share of the step's noise: 0 adds none, 1 is `reverse_step` with beta_tilde.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1], got {eta}")
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    kept = (1 - then - sigma**2).clamp(min=0).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image(kept, x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


def chosen_times(schedule, steps, spacing, times):
    """`times` as a list of ints, if they are given and fall to 0, else those of `sampling_times`."""
    if times is None:
        return sampling_times(schedule, steps, spacing)
    times = [check_integer("times", t, 0, schedule.T) for t in times]
    if len(times) < 2 or times[-1] != 0 or any(s >= t for t, s in pairwise(times)):
        raise ValueError(f"times must fall from step to step and end at 0, got {times}")
    return times


def ddim_sample(
    model, schedule, shape, steps=50, eta=0.0, generator=None, clip=True, x_T=None, progress=True, spacing="time", times=None
):
    """Draw images with DDIM in `steps` model calls, 1..T; returns x_0 of `shape`, `(N, C, H, W)` or `(N, D)`.

    At `eta` = 0 the picture depends on x_T alone, which is drawn from `generator` unless it is given; at 1 every step adds
    its full noise. `clip` as in `sample`, `spacing` as in `sampling_times`; `times`, falling to 0, take the place of both.
    """

    def step(x_t, t, s):
        return ddim_step(model, x_t, t, s, schedule, eta, generator, clip)

    times = chosen_times(schedule, steps, spacing, times)
    return last_state(walk(step, initial_noise(model, shape, generator, x_T), times, progress))


@torch.no_grad()
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    """One step of DPM-Solver++ (2M) from x_t `(N, ...)` to x_s, 0 <= s < t <= T (Lu et al. 2022, Algorithm 2).

    `previous` is the `(r, x_0)` that the step before returned: its time r > t and its prediction. Without it, and where
    s = 0, the step is of first order. Returns `x_s` and this step's own `(t, x_0)`.
    """
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None:
        r, x_0_before = previous
        lamda = (signal / spread).log()  # half the log-SNR; infinite at t = 0
        reach = torch.where(spread[s] > 0, (lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), 0.0)
        target = x_0 + per_image(reach, x_t) * (x_0 - x_0_before)
    shrink = spread[s] / spread[t]
    return per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target, (t, x_0)


def fresh_dpm_solver_step(model, schedule, clip=True):
    """A new `step(x_t, t, s)` for one walk, t and s ints: `dpm_solver_step` with the prediction of the step before.

    It forgets that prediction where a call does not start at the time at which the last one ended.
    """
    arrived, previous = None, None

    def step(x_t, t, s):
        nonlocal arrived, previous
        x_s, previous = dpm_solver_step(model, x_t, t, s, schedule, previous if t == arrived else None, clip)
        arrived = s
        return x_s

    return step


def dpm_solver_sample(
    model, schedule, shape, steps=20, generator=None, clip=True, x_T=None, progress=True, spacing="time", times=None
):
    """Draw images with DPM-Solver++ (2M) in `steps` calls, 1..T; returns x_0 of `shape`, `(N, C, H, W)` or `(N, D)`.

    The picture depends on x_T alone, which is drawn from `generator` unless it is given. `clip` as in `sample`, `spacing`
    as in `sampling_times`; `times`, falling to 0, take the place of `steps` and `spacing`.
    """
    times = chosen_times(schedule, steps, spacing, times)
    step = fresh_dpm_solver_step(model, schedule, clip)
    return last_state(walk(step, initial_noise(model, shape, generator, x_T), times, progress))


@torch.no_grad()
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    """Run DDIM (eta = 0, unclipped) backwards, from x_0 `(N, ...)` to the x_T from which it leads back to x_0."""
    check_float("x_0", x_0)

    def step(x_t, t, s):  # to a later s
        noise = predicted_noise(model, x_t, s)  # at s, as the step back will ask for it
        return schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)

    return last_state(walk(step, x_0, sampling_times(schedule, steps, spacing)[::-1], progress))
