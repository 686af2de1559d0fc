"""The pieces of notebooks 01 to 05: their hints, and checks that name the classic mistakes (see tools/exercises/pieces.py)."""

import math
import warnings

import torch
from torch.nn import functional as F

from tools.diagnose import as_numbers, explain_moments, same
from tools.exercises.pieces import (
    BETAS,
    PER_IMAGE,
    Recorder,
    advising,
    check_refused,
    check_tensor,
    check_unchanged,
    column,
    compare,
    draws_alike,
    made_of,
    normal,
    numbers,
    piece,
    reference_schedule,
    schedule_of,
    seeded,
)

# 01, forward


@piece(
    "forward",
    "noise_step",
    "Eq. 2 as one line: mean plus standard deviation times noise. `noise_like(x, generator)` draws the noise.",
    slice(3, None),
)
def check_noise_step(lib):
    b, x = 0.02, torch.full((200_000, 1), 2.0)
    drawn = check_unchanged("noise_step", x, lambda x: lib.noise_step(x, b, seeded()))
    check_tensor("noise_step", drawn)
    assert drawn.shape == x.shape, f"noise_step must keep the shape {tuple(x.shape)}, yours gives {tuple(drawn.shape)}"
    right, m = (1 - b) ** 0.5 * 2, b**0.5
    assert (drawn != drawn[0]).any(), "all entries of x_t are alike: draw new noise for every entry"
    explain_moments(
        "your x_t (from x = 2 with beta = 0.02)",
        drawn,
        right,
        b,
        {
            "beta where its square root belongs, a variance taken for a standard deviation": (right, b**2),
            "uniform noise (rand) where normal noise (randn) belongs": (right + m / 2, b / 12),
            "nothing shrinks: x needs the factor sqrt(1 - beta)": (2, b),
            "x shrinks by 1 - beta, the square root was left off": ((1 - b) * 2, b),
            "the two coefficients are swapped": (m * 2, 1 - b),
            "a square root too many on the noise": (right, m),
            "both square roots were left off": ((1 - b) * 2, b**2),
            "the noise is not scaled: it needs the factor sqrt(beta)": (right, 1),
            "1 - sqrt(beta) where sqrt(1 - beta) belongs, in front of x": ((1 - m) * 2, b),
        },
    )
    draws_alike("noise_step", lambda g: lib.noise_step(x[:3], b, g))


def chain_moments(betas, mean=1.0, variance=0.0):
    """Means and variances along the chain that starts at `mean`."""
    moments = [(mean, variance)]
    for b in betas:
        mean, variance = (1 - b) ** 0.5 * mean, (1 - b) * variance + b
        moments.append((mean, variance))
    return moments


@piece(
    "forward",
    "noise_chain",
    "Begin the list with x_0, append a noise_step of the last state for every beta, and stack the list.",
    slice(3, None),
)
def check_noise_chain(lib):
    betas, x_0 = [0.1, 0.3, 0.6], torch.full((100_000, 1), 2.0)
    chain = lib.noise_chain(x_0, betas, seeded())
    assert not isinstance(chain, list), "noise_chain returns a list: stack its states, torch.stack(...)"
    check_tensor("noise_chain", chain)
    count = len(chain)
    assert chain.shape != x_0.shape, "noise_chain returns one state: stack all of them, x_0 first"
    assert count != 3, "noise_chain has T states where T + 1 belong: x_0 is the first of them, x_T the last"
    assert chain.shape == (4, *x_0.shape), (
        f"noise_chain must have shape {(4, *x_0.shape)}, yours has {tuple(chain.shape)}"
    )
    assert not torch.equal(chain[-1], x_0), "noise_chain runs backwards: x_0 comes first"
    assert torch.equal(chain[0], x_0), "the first state must be x_0 itself, without noise"
    backwards, same_noise = chain_moments(betas[::-1], 2.0), 0.0
    for t, (b, moments) in enumerate(zip(betas, chain_moments(betas, 2.0)[1:], strict=True), start=1):
        same_noise = (1 - b) ** 0.5 * same_noise + b**0.5
        mistakes = {
            "every step starts from x_0: start each from the state before": ((1 - b) ** 0.5 * 2, b),
            "the betas run backwards: beta_1 comes first": backwards[t],
            "the first beta in every step": chain_moments([betas[0]] * 3, 2.0)[t],
            "the same noise in every step: each must draw its own": (moments[0], same_noise**2),
        }
        explain_moments(f"state {t} of your chain (from x_0 = 2)", chain[t], *moments, mistakes)
    draws_alike("noise_chain", lambda g: lib.noise_chain(x_0[:3], betas, g))


# 02, schedule


def check_betas(name, betas, T, right, mistakes):
    check_tensor(f"{name}({T})", betas)
    length = len(torch.as_tensor(betas))
    assert length != T + 1, f"{name}({T}) has T + 1 entries: leave out beta_0, it returns beta_1 .. beta_T"
    compare(f"{name}({T})", betas, right, mistakes, 1e-9 if betas.dtype == torch.float64 else 1e-6)
    assert betas.dtype == torch.float64, f"{name} must return float64, yours returns {betas.dtype}"


@piece(
    "schedule",
    "linear_betas",
    "An even line of T values from 1e-4 to 0.02 in float64, scaled by 1000 / T, capped at 0.999.",
    slice(1, None),
)
def check_linear_betas(lib):
    def line(T):
        return torch.linspace(1e-4, 0.02, T, dtype=torch.float64)

    for T in (1000, 50, 10):
        left = (1 - line(T)).prod().item()
        mistakes = {
            f"these betas are meant for T = 1000 and leave alpha_bar_T = {left:.2f} at T = {T}, x_T is not noise: scale by 1000 / T": line(
                T
            ),
            "computed in float32, and then made float64: begin with dtype=torch.float64": (
                1000 / T * torch.linspace(1e-4, 0.02, T)
            ).clamp(max=0.999),
            "the cap is 0.999: a beta of 1 would leave nothing of the picture": (1000 / T * line(T)).clamp(max=1),
            "scaled by T / 1000, it is 1000 / T": T / 1000 * line(T),
            "no cap: a beta above 1 is no variance, clamp at 0.999": 1000 / T * line(T),
            "a line between the square roots, squared: that is another schedule ('scaled linear')": (
                1000 / T * torch.linspace(1e-2, 0.02**0.5, T, dtype=torch.float64) ** 2
            ).clamp(max=0.999),
            "clamp(0.999) lifts every beta to 0.999: the cap is clamp(max=0.999)": (1000 / T * line(T)).clamp(
                min=0.999
            ),
            "the line must end at 0.02 for t = T: divide t - 1 by T - 1": (
                1000 / T * (1e-4 + torch.arange(T, dtype=torch.float64) / T * 0.0199)
            ).clamp(max=0.999),
            "only one end of the line is scaled: all of it, by 1000 / T": torch.linspace(
                1e-4, 20 / T, T, dtype=torch.float64
            ).clamp(max=0.999),
            "the betas run from the last to the first": (1000 / T * line(T)).clamp(max=0.999).flip(0),
        }
        check_betas("linear_betas", lib.linear_betas(T), T, (1000 / T * line(T)).clamp(max=0.999), mistakes)


@piece(
    "schedule",
    "cosine_betas",
    "f(t) at t = 0..T; beta_t is 1 minus the ratio of neighbouring f; cap at 0.999. float64 throughout.",
    slice(1, None),
)
def check_cosine_betas(lib):
    T, s = 20, 0.008
    time = torch.arange(T + 1, dtype=torch.float64) / T

    def betas(f):
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)

    def f(s, power=2):
        return torch.cos((time + s) / (1 + s) * math.pi / 2) ** power

    mistakes = {
        "the offset s = 0.008 is missing": betas(f(0)),
        "the cosine is not squared": betas(f(s, 1)),
        "these are the alpha bars; beta_t is 1 - alpha_bar_t / alpha_bar_{t-1}": (f(s) / f(s)[0])[1:],
        "these are the alphas; beta_t is 1 - alpha_t": f(s)[1:] / f(s)[:-1],
        "1 - alpha_bar_t: beta_t is 1 minus the ratio of neighbours": 1 - (f(s) / f(s)[0])[1:],
        "no cap: clamp at 0.999": 1 - f(s)[1:] / f(s)[:-1],
        "the ratio is upside down, f(t) goes above f(t - 1)": (1 - f(s)[:-1] / f(s)[1:]).clamp(max=0.999),
        "the difference of neighbours: beta_t is 1 minus their ratio": f(s)[:-1] - f(s)[1:],
        "t is not divided by T": betas(torch.cos((time * T + s) / (1 + s) * math.pi / 2) ** 2),
        "1 + s stands without its brackets": betas(torch.cos((time + s + s) * math.pi / 2) ** 2),
        "half a cosine too far, pi where pi / 2 belongs": betas(torch.cos((time + s) / (1 + s) * math.pi) ** 2),
    }
    check_betas("cosine_betas", lib.cosine_betas(T), T, betas(f(s)), mistakes)


@piece(
    "schedule",
    "NoiseSchedule.__init__",
    "Set T; put beta_0 = 0 in front of the betas; then alphas, alpha_bars (a running product) and snr, each of length T + 1.",
    slice(3, -1),
)
def check_init(lib):
    n = numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = lib.NoiseSchedule(BETAS)
    for name in ("T", "betas", "alphas", "alpha_bars", "snr"):
        assert hasattr(schedule, name), f"NoiseSchedule has no attribute {name}: set self.{name} in __init__"
    compare("schedule.T", schedule.T, 9, {"T is the number of betas without beta_0": 10})
    for name in ("betas", "alphas", "alpha_bars", "snr"):
        value = getattr(schedule, name)
        assert len(value) != 9, (
            f"schedule.{name} has T entries: put t = 0 in front, so that schedule.{name}[t] belongs to t"
        )
    compare("schedule.betas", schedule.betas, n.betas)
    compare(
        "schedule.alphas", schedule.alphas, n.alphas, {"alpha is 1 - beta": n.betas, "no root here": n.alphas.sqrt()}
    )
    shifted = torch.cat([n.alpha_bars[:1], n.alpha_bars[:-1]])
    mistakes = {
        "its logarithm, a sum of logarithms: take exp": n.alphas.log().cumsum(0),
        "the running product of the betas; it is that of the alphas, 1 - beta": n.betas.cumprod(0),
        "these are the alphas of single steps; alpha bar is their running product": n.alphas,
        "a running sum where a running product belongs": n.alphas.cumsum(0),
        "1 - the sum of the betas; the steps multiply": 1 - n.betas.cumsum(0),
        "the square root, an amplitude; alpha bar is the product itself": n.alpha_bars.sqrt(),
        "the product stops one step before t": shifted,
        "the product over all T steps at every t; stop at t": n.alpha_bars[-1].expand(10),
    }
    compare("schedule.alpha_bars", schedule.alpha_bars, n.alpha_bars, mistakes)
    mistakes = {
        "upside down: signal over noise": 1 / n.snr,
        "a ratio of amplitudes; the SNR is the ratio of the squares": n.snr.sqrt(),
        "its logarithm": n.snr.log(),
        "over beta; the noise in x_t has the variance 1 - alpha_bar": n.alpha_bars / n.betas,
    }
    compare("schedule.snr", schedule.snr[1:], n.snr[1:], {k: v[1:] for k, v in mistakes.items()})
    assert schedule.snr[0] == math.inf, (
        f"schedule.snr[0] must be infinite, x_0 holds no noise; yours is {schedule.snr[0]}"
    )
    for name in ("betas", "alphas", "alpha_bars", "snr"):
        assert getattr(schedule, name).dtype == torch.float64, f"schedule.{name} must be float64"


MINUTE = torch.full((3,), 1e-4, dtype=torch.float64)  # so small that 1 - alpha_bar loses digits in float32
EARLY = 1 - torch.full((2,), 1 - 1e-4)
LATE = "digits are lost in the float32 of x: compute with the schedule's float64, and give per_image the result"


@piece(
    "schedule",
    "NoiseSchedule.signal_and_noise",
    "The two square roots of Eq. 4, read from alpha_bars at t; per_image gives each the shape that multiplies x.",
)
def check_signal_and_noise(lib):
    n, t, x = numbers(), torch.tensor([2, 5]), torch.zeros(2, 1, 3, 3)
    both = schedule_of(lib).signal_and_noise(t, x)
    assert isinstance(both, tuple) and len(both) == 2, (
        "signal_and_noise returns two coefficients: return signal, spread"
    )
    bar, signal, spread = n.alpha_bars[t], as_numbers(both[0]).flatten(), as_numbers(both[1]).flatten()
    mistakes = {
        "alpha bar itself, its square root was left off": bar,
        "alpha of one step where alpha bar belongs": n.alphas[t].sqrt(),
        "t is off by one, alpha_bar_{t-1}": n.alpha_bars[t - 1].sqrt(),
        "t is off by one, alpha_bar_{t+1}": n.alpha_bars[t + 1].sqrt(),
        "the two are swapped": (1 - bar).sqrt(),
    }
    compare("the signal's coefficient at t = 2, 5", signal, bar.sqrt(), mistakes)
    mistakes = {
        "a variance where its square root belongs": 1 - bar,
        "sqrt(beta) of one step where sqrt(1 - alpha_bar) belongs": n.betas[t].sqrt(),
        "1 - sqrt(alpha_bar), the root goes around 1 - alpha_bar": 1 - bar.sqrt(),
        "t is off by one": (1 - n.alpha_bars[t - 1]).sqrt(),
    }
    compare("the noise's coefficient at t = 2, 5", spread, (1 - bar).sqrt(), mistakes)
    shape = tuple(both[0].shape)
    assert shape == (2, 1, 1, 1), (
        f"for x of shape (2, 1, 3, 3) each must have shape (2, 1, 1, 1), yours has {shape}: use per_image"
    )
    assert both[0].dtype == x.dtype, (
        f"the coefficients must have the dtype of x, {x.dtype}, yours {both[0].dtype}: use per_image"
    )
    spread = schedule_of(lib, MINUTE).signal_and_noise(torch.tensor([1, 1]), x)[1]
    compare("the noise's coefficient where beta_1 = 1e-4", spread.flatten(), [0.01, 0.01], {LATE: EARLY.sqrt()}, 1e-7)


@piece(
    "schedule",
    "NoiseSchedule.add_noise",
    "self.check(t, 0, x_0=x_0, noise=noise) returns t as a tensor; signal_and_noise gives the two coefficients of Eq. 4.",
)
def check_add_noise(lib):
    n, t = numbers(), torch.tensor([0, 2, 5, 9])
    x_0, noise, bar = normal(4, 3), normal(4, 3, seed=1), column(n.alpha_bars[t])
    schedule = schedule_of(lib)
    x_t = schedule.add_noise(x_0, t, noise)
    check_tensor("add_noise", x_t)
    assert same(x_t, schedule.add_noise(x_0, t, noise), 1e-9), (
        "add_noise draws noise of its own: use the argument `noise`"
    )
    signal, spread, before = bar.sqrt(), (1 - bar).sqrt(), column(n.alpha_bars[(t - 1).clamp(min=0)])
    alpha, beta = column(n.alphas[t]), column(n.betas[t])
    mistakes = {
        "the noise is scaled by its variance, 1 - alpha_bar: take the square root": signal * x_0 + (1 - bar) * noise,
        "the picture is scaled by alpha_bar: take the square root": bar * x_0 + spread * noise,
        "both square roots were left off": bar * x_0 + (1 - bar) * noise,
        "the coefficients of a single step (Eq. 2): the jump takes alpha bar": alpha.sqrt() * x_0 + beta.sqrt() * noise,
        "the noise of a single step, sqrt(beta), where sqrt(1 - alpha_bar) belongs": signal * x_0 + beta.sqrt() * noise,
        "t is off by one, alpha_bar_{t-1} where alpha_bar_t belongs": before.sqrt() * x_0 + (1 - before).sqrt() * noise,
        "signal and noise are swapped": spread * x_0 + signal * noise,
        "the noise is taken away instead of added": signal * x_0 - spread * noise,
        "signal_and_noise has taken the square roots already": bar**0.25 * x_0 + (1 - bar) ** 0.25 * noise,
        "the picture doesn't fade: it needs the factor sqrt(alpha_bar)": x_0 + spread * noise,
    }
    compare("x_t", x_t, signal * x_0 + spread * noise, mistakes)
    compare(
        "x_t at an int t = 5",
        schedule.add_noise(x_0, 5, noise)[0],
        n.alpha_bars[5].sqrt() * x_0[0] + (1 - n.alpha_bars[5]).sqrt() * noise[0],
    )
    check_refused("t = -1 must be refused: self.check(t, 0, ...) does that", lambda: schedule.add_noise(x_0, -1, noise))


@piece(
    "schedule",
    "NoiseSchedule.predict_x_0",
    "Solve Eq. 4 for x_0. t runs from 0: self.check(t, 0, x_t=x_t, noise=noise).",
)
def check_predict_x_0(lib):
    n, t = numbers(), torch.tensor([0, 2, 5])
    x_t, noise, bar = normal(3, 2), normal(3, 2, seed=1), column(n.alpha_bars[t])
    signal, spread, before = bar.sqrt(), (1 - bar).sqrt(), column(n.alpha_bars[(t - 1).clamp(min=0)])
    mistakes = {
        "not divided by sqrt(alpha_bar)": x_t - spread * noise,
        "only the noise is divided: put brackets around the difference": x_t - spread * noise / signal,
        "only x_t is divided: put brackets around the difference": x_t / signal - spread * noise,
        "divided by alpha_bar, its square root was left off": (x_t - spread * noise) / bar,
        "the noise is taken away with its variance, 1 - alpha_bar: take the square root": (x_t - (1 - bar) * noise)
        / signal,
        "the noise is added instead of taken away": (x_t + spread * noise) / signal,
        "all the noise is taken away: it is in x_t with the factor sqrt(1 - alpha_bar)": (x_t - noise) / signal,
        "multiplied by sqrt(alpha_bar), divide": (x_t - spread * noise) * signal,
        "t is off by one": (x_t - (1 - before).sqrt() * noise) / before.sqrt(),
        "signal and spread are swapped: divide by sqrt(alpha_bar)": (x_t - signal * noise) / spread,
        "the coefficients of a single step (Eq. 2): Eq. 4 has alpha bar": (x_t - column(n.betas[t]).sqrt() * noise)
        / column(n.alphas[t]).sqrt(),
    }
    right, schedule = (x_t - spread * noise) / signal, schedule_of(lib)
    with advising(RuntimeError, PER_IMAGE):
        got = check_unchanged("predict_x_0", x_t, lambda x: schedule.predict_x_0(x, t, noise))
    clipped = {"clipped to [-1, 1]: leave that to the sampler": right.clamp(-1, 1)}
    compare("the predicted x_0", got, right, mistakes | clipped)
    check_refused(
        "t = -1 must be refused: self.check(t, 0, ...) does that", lambda: schedule.predict_x_0(x_t, -1, noise)
    )


@piece(
    "schedule",
    "NoiseSchedule.predict_noise",
    "Solve Eq. 4 for the noise. t runs from 1: self.check(t, 1, x_t=x_t, x_0=x_0).",
)
def check_predict_noise(lib):
    n, t = numbers(), torch.tensor([1, 2, 5])
    x_t, x_0, bar = normal(3, 2), normal(3, 2, seed=1), column(n.alpha_bars[t])
    signal, spread = bar.sqrt(), (1 - bar).sqrt()
    mistakes = {
        "not divided by sqrt(1 - alpha_bar)": x_t - signal * x_0,
        "divided by a variance, 1 - alpha_bar: take the square root": (x_t - signal * x_0) / (1 - bar),
        "the picture is in x_t with the factor sqrt(alpha_bar), not 1": (x_t - x_0) / spread,
        "the picture is taken away with alpha_bar, its square root was left off": (x_t - bar * x_0) / spread,
        "divided by sqrt(alpha_bar), as for x_0": (x_t - spread * x_0) / signal,
        "only the picture is divided: put brackets around the difference": x_t - signal * x_0 / spread,
        "the sign is turned round": (signal * x_0 - x_t) / spread,
        "divided by sqrt(alpha_bar): divide by sqrt(1 - alpha_bar)": (x_t - signal * x_0) / signal,
        "multiplied by sqrt(1 - alpha_bar), divide": (x_t - signal * x_0) * spread,
    }
    right, schedule = (x_t - signal * x_0) / spread, schedule_of(lib)
    with advising(RuntimeError, PER_IMAGE):
        got = check_unchanged("predict_noise", x_t, lambda x: schedule.predict_noise(x, t, x_0))
    compare("the predicted noise", got, right, mistakes)
    check_refused(
        "t = 0 must be refused, x_0 holds no noise: self.check(t, 1, …) does that",
        lambda: schedule.predict_noise(x_t, 0, x_0),
    )


@piece(
    "schedule",
    "NoiseSchedule.posterior",
    "Eq. 7: two weights and beta_tilde, from betas, alphas and alpha_bars at t and at t - 1; per_image shapes them.",
    slice(1, None),
)
def check_posterior(lib):
    n, t = numbers(), torch.tensor([1, 2, 5])
    x_0, x_t, schedule = normal(3, 2), normal(3, 2, seed=1), schedule_of(lib)
    with advising(RuntimeError, PER_IMAGE):
        both, again = schedule.posterior(x_0, x_t, t), schedule.posterior(x_0, x_t, t)
    assert isinstance(both, tuple) and len(both) == 2, "posterior returns two things: return mean, variance"
    assert same(both[0], again[0], 1e-9), "the posterior's mean is random: noise is added by the sampler, not here"
    beta, alpha, now, before = (column(v) for v in (n.betas[t], n.alphas[t], n.alpha_bars[t], n.alpha_bars[t - 1]))
    a, b = before.sqrt() * beta / (1 - now), alpha.sqrt() * (1 - before) / (1 - now)
    mistakes = {
        "sqrt(alpha_bar_t) where sqrt(alpha_t) belongs, in the weight of x_t": a * x_0
        + now.sqrt() * (1 - before) / (1 - now) * x_t,
        "alpha_bar_t where alpha_bar_{t-1} belongs, in the weight of x_0": now.sqrt() * beta / (1 - now) * x_0
        + b * x_t,
        "alpha_bar_t where alpha_bar_{t-1} belongs, in the weight of x_t": a * x_0 + alpha.sqrt() * x_t,
        "a square root was left off in the weight of x_0": before * beta / (1 - now) * x_0 + b * x_t,
        "a square root was left off in the weight of x_t": a * x_0 + alpha * (1 - before) / (1 - now) * x_t,
        "the weights of x_0 and x_t are swapped": b * x_0 + a * x_t,
        "the weights are not divided by 1 - alpha_bar_t": (1 - now) * (a * x_0 + b * x_t),
        "the weights are divided by sqrt(1 - alpha_bar_t), there is no root": (1 - now).sqrt() * (a * x_0 + b * x_t),
        "beta_t has no root in the weight of x_0": a / beta.sqrt() * x_0 + b * x_t,
    }
    compare("the posterior's mean", both[0], a * x_0 + b * x_t, mistakes)
    tilde, now, before, beta = (v[:, 0] for v in ((1 - before) / (1 - now) * beta, now, before, beta))
    mistakes = {
        "this is beta_t, the posterior's variance is beta_tilde_t": beta,
        "a standard deviation, the variance is its square": tilde.sqrt(),
        "upside down, (1 - alpha_bar_{t-1}) goes above": (1 - now) / (1 - before) * beta,
        "alpha bars without '1 -'": before / now * beta,
        "the factor beta_t is missing": (1 - before) / (1 - now),
        "its logarithm: the variance itself is asked for": tilde.log(),
        "its logarithm, kept from -infinity: the variance itself is asked for": tilde.clamp(min=1e-20).log(),
    }
    variance = as_numbers(both[1])
    variance = variance[..., 0].flatten() if variance.numel() in (3, 6) else variance
    compare("the posterior's variance at t = 1, 2, 5", variance, tilde, mistakes)
    assert torch.broadcast_shapes(both[1].shape, x_t.shape) == x_t.shape, (
        "the variance must broadcast over x_t: use per_image"
    )
    mean, _ = schedule_of(lib, MINUTE).posterior(torch.ones(2, 1), torch.zeros(2, 1), 1)
    compare("the weight of x_0 at t = 1", mean[:, 0], [1.0, 1.0], {LATE: 1e-4 / EARLY})


# 03, embedding


def embedding(t, dim, divide=None, period=10_000, scale=1.0, first=0):
    divide = dim // 2 - 1 if divide is None else divide
    powers = (first + torch.arange(dim // 2, dtype=torch.float64)) / divide
    angles = scale * t[:, None].double() * period**-powers
    return angles.sin(), angles.cos()


@piece(
    "embedding",
    "sinusoidal_embedding",
    "dim/2 frequencies from 1 down to 1 / max_period in equal ratios; t times each, (N, dim/2); its sines, then its cosines.",
    slice(2, None),
)
def check_sinusoidal_embedding(lib):
    t, dim, P = torch.tensor([1, 2, 3, 5, 7]), 8, 100  # small, for float32 loses digits of large angles
    with advising((RuntimeError, IndexError), "every t meets every frequency: t[:, None] times them is (N, dim/2)"):
        got = lib.sinusoidal_embedding(t, dim, P)
    sin, cos = embedding(t, dim, period=P)

    def joined(t=t, period=P, **settings):
        return torch.cat(embedding(t, dim, period=period, **settings), 1)

    straight = t[:, None] * torch.linspace(1, 1 / P, dim // 2, dtype=torch.float64)
    mistakes = {
        "the cosines come first: sines first": torch.cat([cos, sin], 1),
        "sines and cosines take turns: all sines first, then all cosines": torch.stack([sin, cos], 2).flatten(1),
        "sines and cosines take turns, as in the Transformer: all sines first, and dim/2 - 1 in the exponent": torch.stack(
            embedding(t, dim, 4, P), 2
        ).flatten(1),
        "dim/2 where dim/2 - 1 belongs in the exponent: the last frequency must be 1 / max_period": joined(divide=4),
        "the first frequency must be 1: k runs from 0": joined(divide=4, first=1),
        "t was scaled to [0, 1]: with period 10000 most columns are constant; take t as it is": joined(scale=1e-3),
        "the frequencies rise to max_period: 1 is the highest, 1 / max_period the lowest": joined(period=1 / P),
        "the frequencies lie on a line: they fall in equal ratios, powers of max_period": torch.cat(
            [straight.sin(), straight.cos()], 1
        ),
        "the angles are multiplied by 2 pi: they are t times the frequency": joined(scale=2 * math.pi),
        "max_period is not used": joined(period=10_000),
        "sines and cosines alternate over the rows, the times, not over the columns": torch.where(
            torch.arange(len(t))[:, None] % 2 == 0, torch.cat([sin, sin], 1), torch.cat([cos, cos], 1)
        ),
        "rows and columns are swapped: one row for each t": joined().T,
        "the cosines stand below the sines: beside them, dim=1": torch.cat([sin, cos], 0),
        "only sines": torch.cat([sin, sin], 1),
    }
    compare("the embedding of t = 1, 2, 3, 5, 7 with max_period = 100", got, joined(), mistakes, 1e-3)
    late = torch.tensor([1, 10, 500, 1000])
    right = joined(late, 10_000)
    compare("the embedding of t = 1, 10, 500, 1000", lib.sinusoidal_embedding(late, dim), right, tolerance=1e-3)
    assert got.dtype == torch.float32, f"the embedding must be float32, like the weights it meets; yours is {got.dtype}"


@piece("embedding", "TimeEmbedding.forward", "The sinusoidal features of t, of width self.dim, through self.layers.")
def check_time_embedding(lib):
    torch.manual_seed(0)
    net, t = lib.TimeEmbedding(8, 16), torch.tensor([1, 10, 500, 1000])
    features = torch.cat(embedding(t, 8), 1).float()
    with torch.no_grad():
        scaled = torch.cat(embedding(t, 8, scale=1e-3), 1).float()
        mistakes = {
            "the bare features: self.layers is never called": features,
            "t was scaled to [0, 1]: at those times the features hardly change": net.layers(scaled),
            "t is off by one, t - 1": net.layers(torch.cat(embedding(t - 1, 8), 1).float()),
            "the first linear layer alone": net.layers[0](features),
        }
        compare("TimeEmbedding(8, 16)(t)", net(t), net.layers(features), mistakes, 1e-4)


# 04, unet


def shaken(module, seed=0):
    """The module with random weights everywhere, also where it starts at zero and would hide a mistake."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def outputs(**mistakes):
    """What each mistake gives, where it runs at all."""
    values = {}
    for name, run in mistakes.items():
        try:
            values[name] = run()
        except RuntimeError:  # the shapes do not go together: then no answer can have this mistake
            continue
    return values


@piece(
    "unet",
    "ResidualBlock.forward",
    "self.first of x, plus self.time of the time for every pixel, through self.second; add the shortcut of x.",
)
@torch.no_grad()
def check_residual_block(lib):
    for widths in ((8, 8), (8, 16)):
        block = shaken(lib.ResidualBlock(*widths, 12))
        x, time = normal(2, 8, 4, 4).float(), normal(2, 12, seed=1).float()
        first, added, short_cut = block.first(x), block.time(time)[:, :, None, None], block.shortcut(x)
        right = short_cut + block.second(first + added)
        mistakes = {
            "the shortcut is missing: the block must be residual": block.second(first + added),
            "the time is never added": short_cut + block.second(first),
            "the time is added after the second convolution: add it before": short_cut + block.second(first) + added,
            "the time is added before the first convolution: add it after": short_cut
            + block.second(block.first(x + added if widths[0] == widths[1] else x)),
            "the time multiplies: add it": short_cut + block.second(first * added),
            "self.second is never called": short_cut + first + added,
            "the shortcut is added before the second convolution": block.second(first + added + short_cut),
            "self.shortcut is called on the hidden layer: it takes x": right - short_cut + first + added,
        }
        if widths[0] != widths[1]:
            mistakes.pop("self.shortcut is called on the hidden layer: it takes x")
        with advising(
            RuntimeError,
            "the shapes do not meet: self.time(time) is (N, out), for every pixel it must be (N, out, 1, 1)",
        ):
            got = block(x, time)
        compare(f"ResidualBlock{(*widths, 12)}", got, right, mistakes, 1e-4)


def attend(
    layer, x, scale=None, weigh=None, residual=True, project=True, norm=True, order=(0, 1, 2), split=True, back=True
):
    """Attention by plain formulas; each argument is one way to go wrong."""
    n, c, h, w = x.shape
    qkv = layer.query_key_value(layer.norm(x) if norm else x)
    parts = qkv.reshape(n, 3, c, h * w).transpose(2, 3).unbind(1) if split else qkv.reshape(n, h * w, 3, c).unbind(2)
    query, key, value = (parts[k] for k in order)
    scores = query @ key.transpose(1, 2) * (c**-0.5 if scale is None else scale)
    mixed = (torch.softmax(scores, dim=-1) if weigh is None else weigh(scores)) @ value
    mixed = (mixed.transpose(1, 2) if back else mixed).reshape(n, c, h, w)
    mixed = layer.out(mixed) if project else mixed
    return x + mixed if residual else mixed


@piece(
    "unet",
    "Attention.forward",
    "self.query_key_value of the normalised x holds the C channels of the query, then the key's, then the value's, for each of the H W places. Softmax of query . key / sqrt(C); the weighted values, through self.out, are added to x.",
    slice(1, None),
)
@torch.no_grad()
def check_attention(lib):
    layer, x = shaken(lib.Attention(8)), normal(2, 8, 3, 3).float()
    q, k, v = layer.query_key_value(layer.norm(x)).reshape(2, 3, 8, 9).unbind(1)  # by channel, not by place
    mistakes = {
        "attention is never applied: this is x itself": x,
        "not residual: add x": attend(layer, x, residual=False),
        "the scale 1 / sqrt(C) is missing": attend(layer, x, scale=1),
        "scaled by 1 / C, the square root was left off": attend(layer, x, scale=1 / 8),
        "scaled by sqrt(H W), it is sqrt(C), the length of a query": attend(layer, x, scale=1 / 3),
        "multiplied by sqrt(C), divide": attend(layer, x, scale=8**0.5),
        "softmax over the queries: each query's weights must sum to 1, so over the keys, the last dimension": attend(
            layer, x, weigh=lambda scores: scores.softmax(1)
        ),
        "softmax over the batch": attend(layer, x, weigh=lambda scores: scores.softmax(0)),
        "the weights are applied transposed: row i of them mixes the values for place i": attend(
            layer, x, weigh=lambda scores: scores.softmax(-1).transpose(1, 2)
        ),
        "the channels attend to each other: the scores must be (N, H W, H W)": x
        + layer.out((torch.softmax(q @ k.transpose(1, 2) / 8**0.5, -1) @ v).reshape(x.shape)),
        "no softmax": attend(layer, x, weigh=lambda scores: scores),
        "the scores are scaled after the softmax: scale them before": attend(
            layer, x, 1, weigh=lambda scores: scores.softmax(-1) / 8**0.5
        ),
        "x is not normalised first": attend(layer, x, norm=False),
        "self.out is never called": attend(layer, x, project=False),
        "query and key are swapped": attend(layer, x, order=(1, 0, 2)),
        "the value comes last: the channels are those of the query, then the key, then the value": attend(
            layer, x, order=(2, 1, 0)
        ),
        "channels and places are mixed up: reshape to (N, 3, C, H W) first, then transpose": attend(
            layer, x, split=False
        ),
        "places and channels are mixed up on the way back: transpose to (N, C, H W) first, then reshape": attend(
            layer, x, back=False
        ),
    }
    compare("Attention(8)", layer(x), attend(layer, x), mistakes, 1e-4)


@piece(
    "unet",
    "Upsample.forward",
    "F.interpolate doubles the sides (nearest); then the convolution itself, super().forward.",
)
@torch.no_grad()
def check_upsample(lib):
    layer, x = shaken(lib.Upsample(8)), normal(2, 8, 4, 4).float()

    def convolve(x):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    double = F.interpolate(x, scale_factor=2, mode="nearest")
    mistakes = {
        "the convolution is never called": double,
        "the convolution comes first: double first, so that it can smooth the steps": F.interpolate(
            convolve(x), scale_factor=2
        ),
        "bilinear interpolation: the docstring says nearest neighbour": convolve(
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        ),
        "not doubled": convolve(x),
    }
    called = []

    def once(*_):
        called.append(1)
        assert len(called) < 2, "self(...) calls this forward again: the convolution itself is super().forward"

    layer.register_forward_pre_hook(once)
    compare("Upsample(8)", layer(x), convolve(double), mistakes, 1e-4)


def run_unet(lib, net, x_t, t, keep_first=True, time=None, newest=-1, skip_first=False, middle=True, head=True):
    time = net.time_embedding(t) if time is None else time
    x = net.stem(x_t)
    kept = [x]
    for layer in net.down:
        x = layer(x, time) if isinstance(layer, lib.Block) else layer(x)
        kept.append(x)
    for block in net.middle if middle else []:
        x = block(x, time)
    for layer in net.up:
        if isinstance(layer, lib.Block):
            skip = kept.pop(newest)
            x = layer(torch.cat([skip, x] if skip_first else [x, skip], 1), time)
        else:
            x = layer(x)
    return net.head(x) if head else x


@piece(
    "unet",
    "UNet.forward",
    "Embed the t that self.check_input(x_t, t) returns; self.stem; down, keeping every feature map; middle; up, where each Block takes the latest kept map beside its input (torch.cat, dim=1); self.head. A Block takes the time too, other layers do not.",
)
@torch.no_grad()
def check_unet(lib):
    net = shaken(lib.UNet(1, 8, (1, 1)))
    x_t, t = normal(3, 1, 8, 8).float(), torch.tensor([3, 500, 900])
    right = run_unet(lib, net, x_t, t)
    nowhere = torch.zeros(3, 32)
    mistakes = outputs(
        **{
            "the time never reaches the blocks": lambda: run_unet(lib, net, x_t, t, time=nowhere),
            "all images get the time of the first": lambda: run_unet(lib, net, x_t, t[:1].expand(3)),
            "t is off by one, t - 1": lambda: run_unet(lib, net, x_t, t - 1),
            "the kept maps are used oldest first: take the latest, pop()": lambda: run_unet(lib, net, x_t, t, newest=0),
            "torch.cat([kept, x]): x comes first, or trained weights do not fit": lambda: run_unet(
                lib, net, x_t, t, skip_first=True
            ),
            "self.middle is left out": lambda: run_unet(lib, net, x_t, t, middle=False),
            "self.head is never called": lambda: run_unet(lib, net, x_t, t, head=False),
            "the input is added to the output: the network predicts the noise itself": lambda: x_t + right,
        }
    )
    advice = "the maps do not fit together: the stem and every layer on the way down give one, and each Block on the way up takes the latest kept map, kept.pop()"
    with advising((RuntimeError, IndexError), advice):
        got = net(x_t, t)
    compare("UNet(1, 8, (1, 1))(x_t, t)", got, right, mistakes, 1e-4)
    with advising(TypeError, "an int t must do as well: embed what self.check_input(x_t, t) returns"):
        compare("the UNet at an int t = 500", net(x_t, 500)[1], right[1], tolerance=1e-3)


# 05, loss


@piece(
    "loss",
    "noise_prediction_loss",
    "Where t is None draw one for each image, 1..T; where noise is None draw it (noise_like). check_time(t, len(x_0), 1, schedule.T) refuses a given t = 0. Then the mean squared error of model(x_t, t).",
    slice(1, None),
)
def check_loss(lib):
    schedule, t = reference_schedule(lib), torch.tensor([1, 4, 8])
    x_0, noise = normal(3, 2), normal(3, 2, seed=1)

    def formula(x, t):
        return 0.3 * x + 0.1 * t

    x_t, time = schedule.add_noise(x_0, t, noise), column(t)
    error = formula(x_t, time) - noise
    mistakes = {
        "the sum of the squares: take their mean": error.square().sum(),
        "the sum over an image and the mean over the images: take the mean of all": error.square().sum(1).mean(),
        "the mean absolute error (L1) where the squared error belongs": error.abs().mean(),
        "the Huber loss where the squared error belongs: Eq. 14 is a mean square": F.smooth_l1_loss(error, 0 * error),
        "half the mean square": error.square().mean() / 2,
        "the square root of the mean square": error.square().mean().sqrt(),
        "the answer is compared with x_0: the network predicts the noise": (formula(x_t, time) - x_0).square().mean(),
        "the answer is compared with x_t: the network predicts the noise": (formula(x_t, time) - x_t).square().mean(),
        "the model sees the clean x_0: it must see x_t": (formula(x_0, time) - noise).square().mean(),
        "the model sees the noise: it must see x_t": (formula(noise, time) - noise).square().mean(),
        "the model sees t - 1: it must see the t that made x_t": (formula(x_t, time - 1) - noise).square().mean(),
        "one loss for each image: return their mean": error.square().mean(1),
        "the errors of the implied x_0: compare the noises": (schedule.predict_x_0(x_t, t, formula(x_t, time)) - x_0)
        .square()
        .mean(),
    }
    got = lib.noise_prediction_loss(Recorder(formula), x_0, schedule, t, noise)
    again = lib.noise_prediction_loss(Recorder(formula), x_0, schedule, t, noise)
    assert got is not None, "noise_prediction_loss returns None: is there a return?"
    assert same(got, again, 1e-9), "with t and noise given the loss differs from call to call: draw only what is None"
    compare("the loss", got, error.square().mean(), mistakes)
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    got = lib.noise_prediction_loss(Recorder(lambda x, t: weight * x), x_0, schedule, t, noise)
    assert torch.is_tensor(got) and got.requires_grad, (
        "no gradient leads from the loss to the model: return the tensor as it is"
    )
    check_drawn_times(lib, schedule)
    check_refused(
        "a given t = 0 must be refused, there is no noise to predict: check_time(t, len(x_0), 1, schedule.T)",
        lambda: lib.noise_prediction_loss(Recorder(formula), x_0, schedule, 0, noise),
    )


def check_drawn_times(lib, schedule):
    """t and noise that the loss draws by itself."""
    model = Recorder(lambda x, t: x)
    lib.noise_prediction_loss(model, torch.zeros(20_000, 1), schedule, generator=seeded())
    t = torch.tensor(model.times[0])
    assert t.numel() == 20_000, f"{t.numel()} time(s) drawn for 20,000 images: each image needs a t of its own"
    assert t.min() > 0, "t = 0 is drawn, a clean image with nothing to predict: t runs from 1 to T"
    assert t.max() == 9, f"t = T = 9 is never drawn, the largest is {int(t.max())}: randint leaves its upper end out"
    counts = torch.bincount(t.long(), minlength=10)[1:]
    assert counts.min() > 20_000 / 9 * 0.85, (
        f"t must be uniform in 1..T, but t = {int(counts.argmin()) + 1} came {int(counts.min())} times in 20,000"
    )
    noise = model.inputs[0][:, 0] / (1 - schedule.alpha_bars[t.long()]).sqrt()
    assert noise.std() > 1e-3 or noise.mean().abs() < 1e-3, "one noise for all images: each needs noise of its own"
    mistakes = {"uniform noise (rand) where normal noise (randn) belongs": (0.5, 1 / 12), "no noise is drawn": (0, 0)}
    explain_moments("the noise that you draw", noise, 0, 1, mistakes)
    draws_alike(
        "the loss",
        lambda g: lib.noise_prediction_loss(Recorder(lambda x, t: x), torch.ones(5, 2), schedule, generator=g),
    )


@piece(
    "loss",
    "GaussianMixtureDenoiser.__call__",
    "For each component: the variance of its x_t, its log density, its share p(k | x_t) (a softmax); then `noise`, the shares' mean of spread (x_t - signal mean_k) / variance_k.",
    slice(2, -1),
)
def check_denoiser(lib):
    schedule, t = reference_schedule(lib), torch.tensor([1, 2, 6])
    means, stds, weights = [[-1.0, 0.5], [0.5, 0.0]], [0.1, 0.6], [0.3, 0.7]
    x_t = torch.tensor([[0.1, 0.2], [-0.3, 0.4], [0.2, -0.5]], dtype=torch.float64)

    def answer(weights=weights, stds=stds, power=1.0, hard=False, fade=None, root=1.0, dim=1):
        m, s, w = (torch.tensor(v, dtype=torch.float64) for v in (means, stds, weights))
        bar = column(schedule.alpha_bars[t])  # (N, 1)
        offset = x_t[:, None] - (bar.sqrt()[..., None] * m if fade != "means" else m)
        variance = ((bar * s**2 if fade != "stds" else s**2) + 1 - bar) ** root  # (N, K)
        log_density = -(offset**2).sum(-1) / (2 * variance) - power * variance.log()  # D / 2 = 1
        share = torch.softmax(w.log() + log_density, dim)
        share = F.one_hot(share.argmax(1), 2).double() if hard else share
        return (1 - bar).sqrt() * ((share / variance)[..., None] * offset).sum(1)

    right, spread = answer(), (1 - column(schedule.alpha_bars[t])).sqrt()
    mistakes = {
        "the sign is turned round": -right,
        "the score, up to its sign: the noise is -sqrt(1 - alpha_bar) times the score": right / spread,
        "the noise is -sqrt(1 - alpha_bar) times the score; a square root was left off": right * spread,
        "the weights of the mixture are not used": answer([0.5, 0.5]),
        "only the nearest component counts: weigh them by p(component | x_t)": answer(hard=True),
        "the density lacks its -D/2 log(variance)": answer(power=0),
        "D is 2, the density's log(variance) has the factor D/2, not 1/2": answer(power=0.5),
        "the components' own stds are not used": answer(stds=[0.0, 0.0]),
        "the stds are taken for variances: square them": answer(stds=[0.1**0.5, 0.6**0.5]),
        "a component's variance in x_t is alpha_bar std^2 + 1 - alpha_bar, yours lacks the alpha_bar": answer(
            fade="stds"
        ),
        "the means must fade too: signal times mean": answer(fade="means"),
        "the weights count by their logarithm: log weight + log density": answer([math.exp(w) for w in weights]),
        "standard deviations where variances belong": answer(root=0.5),
        "softmax over the points: over the components, dim=1": answer(dim=0),
    }
    denoiser = made_of(lib.GaussianMixtureDenoiser, schedule=schedule)
    for name, values in (("means", means), ("stds", stds), ("weights", weights)):
        setattr(denoiser, name, torch.tensor(values, dtype=torch.float64))
    compare("E[noise | x_t]", denoiser(x_t, t), right, mistakes)
