"""The pieces of notebook 02: their hints, and checks that name the classic mistakes."""

import math
import warnings

import torch

from course.check import (
    BETAS,
    PER_IMAGE,
    advising,
    as_numbers,
    assert_close,
    check_refused,
    check_tensor,
    check_unchanged,
    column,
    normal,
    numbers,
    piece,
    same,
    schedule_of,
)


def check_betas(name, betas, T, right, mistakes):
    check_tensor(f"{name}({T})", betas)
    length = len(torch.as_tensor(betas))
    assert length != T + 1, f"{name}({T}) has T + 1 entries: leave out beta_0, it returns beta_1 .. beta_T"
    assert_close(f"{name}({T})", betas, right, mistakes, 1e-9 if betas.dtype == torch.float64 else 1e-6)
    assert betas.dtype == torch.float64, f"{name} must return float64, yours returns {betas.dtype}"


@piece(
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
    "NoiseSchedule.__init__",
    "Set T; put beta_0 = 0 in front of the betas; then alphas, alpha_bars (a running product) and snr, each of length T + 1.",
    slice(1, -1),
)
def check_init(lib):
    n = numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = lib.NoiseSchedule(BETAS)
    for name in ("T", "betas", "alphas", "alpha_bars", "snr"):
        assert hasattr(schedule, name), f"NoiseSchedule has no attribute {name}: set self.{name} in __init__"
    assert_close("schedule.T", schedule.T, 9, {"T is the number of betas without beta_0": 10})
    for name in ("betas", "alphas", "alpha_bars", "snr"):
        value = getattr(schedule, name)
        assert len(value) != 9, (
            f"schedule.{name} has T entries: put t = 0 in front, so that schedule.{name}[t] belongs to t"
        )
    assert_close("schedule.betas", schedule.betas, n.betas)
    assert_close(
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
    assert_close("schedule.alpha_bars", schedule.alpha_bars, n.alpha_bars, mistakes)
    mistakes = {
        "upside down: signal over noise": 1 / n.snr,
        "a ratio of amplitudes; the SNR is the ratio of the squares": n.snr.sqrt(),
        "its logarithm": n.snr.log(),
        "over beta; the noise in x_t has the variance 1 - alpha_bar": n.alpha_bars / n.betas,
    }
    assert_close("schedule.snr", schedule.snr[1:], n.snr[1:], {k: v[1:] for k, v in mistakes.items()})
    assert schedule.snr[0] == math.inf, (
        f"schedule.snr[0] must be infinite, x_0 holds no noise; yours is {schedule.snr[0]}"
    )
    for name in ("betas", "alphas", "alpha_bars", "snr"):
        assert getattr(schedule, name).dtype == torch.float64, f"schedule.{name} must be float64"


MINUTE = torch.full((3,), 1e-4, dtype=torch.float64)  # so small that 1 - alpha_bar loses digits in float32
EARLY = 1 - torch.full((2,), 1 - 1e-4)
LATE = "digits are lost in the float32 of x: compute with the schedule's float64, and give per_image the result"


@piece(
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
    assert_close("the signal's coefficient at t = 2, 5", signal, bar.sqrt(), mistakes)
    mistakes = {
        "a variance where its square root belongs": 1 - bar,
        "sqrt(beta) of one step where sqrt(1 - alpha_bar) belongs": n.betas[t].sqrt(),
        "1 - sqrt(alpha_bar), the root goes around 1 - alpha_bar": 1 - bar.sqrt(),
        "t is off by one": (1 - n.alpha_bars[t - 1]).sqrt(),
    }
    assert_close("the noise's coefficient at t = 2, 5", spread, (1 - bar).sqrt(), mistakes)
    shape = tuple(both[0].shape)
    assert shape == (2, 1, 1, 1), (
        f"for x of shape (2, 1, 3, 3) each must have shape (2, 1, 1, 1), yours has {shape}: use per_image"
    )
    assert both[0].dtype == x.dtype, (
        f"the coefficients must have the dtype of x, {x.dtype}, yours {both[0].dtype}: use per_image"
    )
    spread = schedule_of(lib, MINUTE).signal_and_noise(torch.tensor([1, 1]), x)[1]
    assert_close(
        "the noise's coefficient where beta_1 = 1e-4", spread.flatten(), [0.01, 0.01], {LATE: EARLY.sqrt()}, 1e-7
    )


@piece(
    "NoiseSchedule.add_noise",
    "self.check(t, 0, x_0=x_0, noise=noise) returns t, checked; signal_and_noise gives the two coefficients of Eq. 4.",
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
    assert_close("x_t", x_t, signal * x_0 + spread * noise, mistakes)
    assert_close(
        "x_t at an int t = 5",
        schedule.add_noise(x_0, 5, noise)[0],
        n.alpha_bars[5].sqrt() * x_0[0] + (1 - n.alpha_bars[5]).sqrt() * noise[0],
    )
    check_refused("t = -1 must be refused: self.check(t, 0, ...) does that", lambda: schedule.add_noise(x_0, -1, noise))


@piece(
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
    assert_close("the predicted x_0", got, right, mistakes | clipped)
    check_refused(
        "t = -1 must be refused: self.check(t, 0, ...) does that", lambda: schedule.predict_x_0(x_t, -1, noise)
    )


@piece(
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
    assert_close("the predicted noise", got, right, mistakes)
    check_refused(
        "t = 0 must be refused, x_0 holds no noise: self.check(t, 1, …) does that",
        lambda: schedule.predict_noise(x_t, 0, x_0),
    )


@piece(
    "NoiseSchedule.posterior",
    "Eq. 7 for the step from s to t, with alpha = alpha_bar_t / alpha_bar_s and beta = 1 - alpha: two weights and beta_tilde; per_image shapes them.",
    slice(1, None),
)
def check_posterior(lib):
    n, t = numbers(), torch.tensor([1, 2, 5])
    x_0, x_t, schedule = normal(3, 2), normal(3, 2, seed=1), schedule_of(lib)
    with advising(RuntimeError, PER_IMAGE):
        both, again = schedule.posterior(x_t, t, x_0), schedule.posterior(x_t, t, x_0)
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
    assert_close("the posterior's mean", both[0], a * x_0 + b * x_t, mistakes)
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
    assert_close("the posterior's variance at t = 1, 2, 5", variance, tilde, mistakes)
    assert torch.broadcast_shapes(both[1].shape, x_t.shape) == x_t.shape, (
        "the variance must broadcast over x_t: use per_image"
    )
    mean, _ = schedule_of(lib, MINUTE).posterior(torch.zeros(2, 1), 1, torch.ones(2, 1))
    assert_close("the weight of x_0 at t = 1", mean[:, 0], [1.0, 1.0], {LATE: 1e-4 / EARLY})
    check_long_step(schedule, x_t, x_0, n)


def check_long_step(schedule, x_t, x_0, n):
    """The posterior of a step from t = 6 down to s = 2."""
    now, then, alpha = n.alpha_bars[6], n.alpha_bars[2], n.alpha_bars[6] / n.alpha_bars[2]

    def mean(before, alpha, beta):
        return before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t

    mistakes = {
        "s is not used: this goes to t - 1": mean(n.alpha_bars[5], n.alphas[6], n.betas[6]),
        "alphas[t] and betas[t] belong to one step; the step from s to t has alpha = alpha_bar_t / alpha_bar_s": mean(
            then, n.alphas[6], n.betas[6]
        ),
    }
    got, variance = schedule.posterior(x_t, 6, x_0, 2)
    assert_close("the posterior's mean for t = 6 and s = 2", got, mean(then, alpha, 1 - alpha), mistakes)
    one_step = {
        "betas[t] belongs to one step; the step from s to t has beta = 1 - alpha_bar_t / alpha_bar_s": (1 - then)
        / (1 - now)
        * n.betas[6]
    }
    right = (1 - then) / (1 - now) * (1 - alpha)
    assert_close("its variance", as_numbers(variance).flatten()[0], right, one_step)
