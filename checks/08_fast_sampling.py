"""The pieces of notebook 08: their hints, and checks that name the classic mistakes."""

from itertools import pairwise

import torch

from course.check import (
    Recorder,
    assert_close,
    assert_moments,
    check_one_t_for_each_image,
    normal,
    numbers,
    piece,
    reference_schedule,
    same,
    seeded,
    silent,
)

MILD = torch.linspace(0.05, 0.3, 9, dtype=torch.float64)  # here a step's own beta is a possible sigma^2


def guess(x, t):
    """A model's answer, a formula."""
    return 0.4 * x + 0.08 * t


def at(n, t, x=0.7):
    """x_t = 0.7, and what the model `guess` implies at t: `(x_t, x_0, noise)`."""
    noise, bar = guess(x, t), n.alpha_bars[t].item()
    return x, (x - (1 - bar) ** 0.5 * noise) / bar**0.5, noise


@piece(
    "ddim_step",
    "sigma is eta times the posterior's spread from t to s, from alpha_bars at t and s; x_s = sqrt(alpha_bar_s) x_0 + sqrt(1 - alpha_bar_s - sigma^2) noise, plus sigma times new noise where eta > 0.",
    slice(2, None),
)
def check_ddim_step(lib):
    n, schedule, t, s, count = numbers(MILD), reference_schedule(lib, MILD), 6, 3, 100_000
    x, x_0, noise = at(n, t, 2.0)
    x_t = torch.full((count, 1), x, dtype=torch.float64)
    now, then, earlier = n.alpha_bars[t].item(), n.alpha_bars[s].item(), n.alpha_bars[t - 1].item()
    alpha, beta = n.alphas[t].item(), n.betas[t].item()

    def step(eta=0.0, clip=False, s=s):
        return lib.ddim_step(Recorder(guess), x_t, t, s, schedule, eta, seeded(), clip)

    times = torch.tensor([2, 4, 6, 9]), torch.tensor([0, 3, 1, 8])
    check_one_t_for_each_image("x_s", lambda x: lib.ddim_step(lambda x, t: 0.1 * x, x, *times, schedule, 0.5, seeded()))
    mistakes = {
        "sqrt(1 - alpha_bar_t) where sqrt(1 - alpha_bar_s) belongs: the noise of the time you go to": then**0.5 * x_0
        + (1 - now) ** 0.5 * noise,
        "sqrt(alpha_bar_t) where sqrt(alpha_bar_s) belongs": now**0.5 * x_0 + (1 - then) ** 0.5 * noise,
        "a step to t - 1: it must go to s": earlier**0.5 * x_0 + (1 - earlier) ** 0.5 * noise,
        "the square root of alpha_bar_s was left off, in front of x_0": then * x_0 + (1 - then) ** 0.5 * noise,
        "the square roots were left off": then * x_0 + (1 - then) * noise,
        "only x_0 is left, the noise that points back to x_t is missing": then**0.5 * x_0,
        "this is x_t, no step was taken": x,
        "this is x_0: the step must stop at s": x_0,
        "alpha_t of one step where alpha bar belongs": alpha**0.5 * x_0 + (1 - alpha) ** 0.5 * noise,
    }
    right = then**0.5 * x_0 + (1 - then) ** 0.5 * noise
    kept = min(1.0, x_0)
    renewed = then**0.5 * kept + (1 - then) ** 0.5 * (x - now**0.5 * kept) / (1 - now) ** 0.5
    mistakes["x_0 is clipped although clip=False: pass clip on"] = renewed
    got = step()
    assert got.var() < 1e-12, "at eta = 0 the step must add no noise"
    assert_close("x_3 from x_6 at eta = 0", got[0, 0], right, mistakes)
    assert_close(
        "x_0 from x_6 at eta = 0",
        step(s=0)[0, 0],
        x_0,
        {"one step short: s = 0 must give x_0": n.alpha_bars[1].sqrt() * x_0},
    )
    stale = {
        "x_0 was clipped and the noise was not computed anew": then**0.5 * kept + (1 - then) ** 0.5 * noise,
        "the argument clip is not used": right,
    }
    assert_close("x_3 with clip", step(clip=True)[0, 0], renewed, stale)
    check_ddim_noise(step, x_0, noise, now, then, (1 - earlier) / (1 - now) * beta, beta)


def check_ddim_noise(step, x_0, noise, now, then, tilde, beta):
    """The random part of ddim_step."""
    for eta in (1.0, 0.5):
        square = eta**2 * (1 - then) / (1 - now) * (1 - now / then)

        def moments(mean_square, variance):
            return then**0.5 * x_0 + max(1 - then - mean_square, 0) ** 0.5 * noise, variance

        mistakes = {
            "sigma from the beta of one step (beta_tilde_t): at a stride above 1 it must come from alpha_bar at t and s": moments(
                eta**2 * tilde, eta**2 * tilde
            ),
            "sigma from the beta of one step: at a stride above 1 it must come from alpha_bar at t and s": moments(
                eta**2 * beta, eta**2 * beta
            ),
            "sigma^2 was not taken out of the noise that is kept, sqrt(1 - alpha_bar_s - sigma^2): x_s gets too noisy": moments(
                0, square
            ),
            "sigma scales the noise as a variance: take its square root": moments(square, square**2),
            "sigma is squared, or lacks its square root": moments(square**2, square**2),
            "sigma where sigma^2 belongs, under the root of the noise that is kept": moments(square**0.5, square),
            "eta is squared": moments(eta**2 * square, eta**2 * square),
            "alpha_bar at t and s are swapped in sigma's first factor": moments(
                square * ((1 - now) / (1 - then)) ** 2, square * ((1 - now) / (1 - then)) ** 2
            ),
            "the argument eta is not used": moments(square / eta**2, square / eta**2),
            "sigma grows with the root of eta: it is eta times the spread": moments(square / eta, square / eta),
            "no noise is added although eta > 0": moments(square, 0),
            "no noise is added although eta > 0 ": moments(0, 0),
        }
        drawn = step(eta)
        assert torch.isfinite(drawn).all(), (
            f"at eta = {eta} x_3 is NaN: 1 - alpha_bar_s - sigma^2 got negative, check sigma"
        )
        assert_moments(f"x_3 from x_6 at eta = {eta}", drawn, *moments(square, square), mistakes)
    assert torch.equal(step(1.0), step(1.0)), (
        "ddim_step differs from call to call with the same seed: pass the generator on"
    )


@piece(
    "ddim_encode",
    "A walk along the times from 0 to T: the step from t to a later s asks the model at s (predicted_noise), predicts x_0 with that noise at t, and takes it to s with add_noise. No clipping.",
    slice(1, None),
)
def check_ddim_encode(lib):
    schedule = reference_schedule(lib)
    x_0 = torch.tensor([[0.3], [-1.8]], dtype=torch.float64)

    def encode(asked="s", times=(0, 3, 6, 9), clean=schedule.predict_x_0):
        x = x_0
        for t, s in pairwise(times):
            noise = guess(x, s if asked == "s" else t)
            x = schedule.add_noise(clean(x, t, noise), s, noise)
        return x

    mistakes = {
        "the model is asked at t where the step back asks at s: it leads elsewhere": encode("t"),
        "one step short: the last step goes to T": encode(times=(0, 3, 6)),
        "x_0 is clipped: encoding must not clip": encode(clean=lambda *args: schedule.predict_x_0(*args).clamp(-1, 1)),
        "every step starts from the x_0 that was given: predict it anew from x_t": encode(clean=lambda *args: x_0),
        "this is the way down, from T to 0: turn the times round": encode(times=(9, 6, 3, 0)),
        "nothing was encoded, this is x_0": x_0,
        "all T steps: use `steps` of them": encode(times=range(10)),
    }
    model = Recorder(guess).train()
    got = lib.ddim_encode(model, schedule, x_0, steps=3, progress=False)
    assert_close("the code of x_0", got, encode(), mistakes)
    assert not any(model.modes), (
        "the model encodes in training mode, with its dropout on: ask it through predicted_noise"
    )
    with silent("ddim_encode"):
        got = lib.ddim_encode(model, schedule, x_0, 3, False, "quadratic")
    times = lib.sampling_times(schedule, 3, "quadratic")[::-1]
    assert_close(
        "the code with quadratic spacing", got, encode(times=times), {"the argument spacing is not used": encode()}
    )


@piece(
    "dpm_solver_step",
    "lamda = log(signal / spread). With `previous`, and for each image where s > 0 (torch.where; there spread[s] > 0), the target is x_0 carried on along its last change, by (lamda_s - lamda_t) / (2 (lamda_t - lamda_r)). x_s = spread_s / spread_t x_t + (signal_s - spread_s / spread_t signal_t) target.",
    slice(1, None),
)
def check_dpm_solver_step(lib):
    n, schedule, r, t, s = numbers(), reference_schedule(lib), 8, 6, 3
    x, x_0, noise = at(n, t, 2.0)
    x_t, old = torch.full((2, 1), x, dtype=torch.float64), 0.25
    signal, spread = n.alpha_bars.sqrt(), (1 - n.alpha_bars).sqrt()
    lamda = (signal / spread).log()

    def to(s, target):
        return (spread[s] / spread[t] * x + (signal[s] - spread[s] / spread[t] * signal[t]) * target).item()

    previous = (torch.full((2,), r), torch.full((2, 1), old, dtype=torch.float64))

    def step(s, previous=None, clip=False):
        got = lib.dpm_solver_step(Recorder(guess), x_t, t, s, schedule, previous, clip)
        assert isinstance(got, tuple) and len(got) == 2, (
            "dpm_solver_step returns x_s and (t, x_0): return x_s, (t, x_0)"
        )
        return got

    x_s, (time, kept) = step(s)
    t_s_r = [torch.tensor(v) for v in ([2, 4, 6, 8], [1, 3, 0, 4], [3, 6, 7, 9])]

    def second_step(x, which=slice(None)):
        t, s, r = (v[which] for v in t_s_r)
        return lib.dpm_solver_step(lambda x, t: 0.1 * x, x, t, s, schedule, (r, 0.5 * x), False)[0]

    check_one_t_for_each_image("x_s", second_step)
    mistakes = {
        "the model's noise stands where x_0 belongs": to(s, noise),
        "x_0 is clipped although clip=False: pass clip on": to(s, min(1.0, x_0)),
        "this is DDIM's noise with the wrong time: spread_s / spread_t shrinks x_t": (
            spread[s] * x + (signal[s] - spread[s] * signal[t]) * x_0
        ).item(),
        "signal_s / signal_t shrinks x_t: that is the solver for noise; here it is spread_s / spread_t": (
            signal[s] / signal[t] * x + (signal[s] - signal[s] / signal[t] * signal[t]) * x_0
        ).item(),
        "the weight of x_0 is signal_s - spread_s / spread_t signal_t, yours is signal_s": (
            spread[s] / spread[t] * x + signal[s] * x_0
        ).item(),
    }
    assert_close("x_3 from x_6, the first step", x_s[0, 0], to(s, x_0), mistakes)
    assert_close("the x_0 that the step returns", kept[0, 0], x_0, {"x_s is returned in its place": to(s, x_0)})
    assert_close(
        "the time that the step returns",
        torch.as_tensor(time).flatten()[0],
        t,
        {"this is s: the prediction was made at t": s},
    )
    h, h_before = lamda[s] - lamda[t], lamda[t] - lamda[r]

    def second(reach):
        return to(s, x_0 + reach * (x_0 - old))

    mistakes = {
        "first order although there is a previous prediction": to(s, x_0),
        "the half is missing in (lamda_s - lamda_t) / (2 (lamda_t - lamda_r))": second(h / h_before),
        "the ratio is upside down: (lamda_s - lamda_t) goes above": second(h_before / (2 * h)),
        "steps measured in t where log-SNR belongs": second((t - s) / (2 * (r - t))),
        "the change has the wrong sign: x_0 minus the one before": second(-h / (2 * h_before)),
        "lamda without its logarithm": second(
            ((signal / spread)[s] - (signal / spread)[t]) / (2 * ((signal / spread)[t] - (signal / spread)[r]))
        ),
    }
    x_s, (_, kept) = step(s, previous)
    assert_close("x_3 from x_6, the second step", x_s[0, 0], second(h / (2 * h_before)), mistakes)
    carried = {"the target is returned: return the prediction x_0 itself": x_0 + h / (2 * h_before) * (x_0 - old)}
    assert_close("the x_0 that the second step returns", kept[0, 0], x_0, carried)
    assert_close(
        "the x_0 with clip", step(s, clip=True)[1][1][0, 0], min(1.0, x_0), {"the argument clip is not used": x_0}
    )
    last = step(0, previous)[0][0, 0]
    assert torch.isfinite(last), (
        f"the step to t = 0 gives {last}: it must be of first order, the log-SNR at t = 0 is infinite, and 0 times infinity is NaN"
    )
    assert_close(
        "x_0 from x_6, the last step",
        last,
        x_0,
        {"not of first order: the log-SNR at t = 0 is infinite": second(h / (2 * h_before))},
    )
    few = normal(4, 1, 2, 2)
    alone = torch.cat([second_step(few[k : k + 1], slice(k, k + 1)) for k in range(4)])
    assert same(second_step(few), alone, 1e-6), (
        "a step differs with the other images of its batch: with s = 0 for one of them, only that one is of first order (torch.where)"
    )
