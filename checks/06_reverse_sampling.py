"""The pieces of notebook 06: their hints, and checks that name the classic mistakes."""

import inspect
from itertools import pairwise

import torch

from course.check import (
    Recorder,
    assert_close,
    assert_moments,
    check_one_t_for_each_image,
    check_tensor,
    column,
    draws_alike,
    numbers,
    piece,
    reference_schedule,
    seeded,
    silent,
)


def guess(x, t):
    """A model's answer, a formula."""
    return 0.4 * x + 0.08 * t


@piece(
    "predict",
    "The model's noise (predicted_noise) and the x_0 it implies. With clip: clip x_0, then compute the noise anew from it (predict_noise).",
)
def check_predict(lib):
    schedule, t = reference_schedule(lib), torch.tensor([2, 6, 6])
    x_t = torch.tensor([[0.7], [2.5], [-2.5]], dtype=torch.float64)
    noise, bar = guess(x_t, column(t)), column(schedule.alpha_bars[t])
    x_0 = (x_t - (1 - bar).sqrt() * noise) / bar.sqrt()
    kept, renewed = x_0.clamp(-1, 1), (x_t - bar.sqrt() * x_0.clamp(-1, 1)) / (1 - bar).sqrt()
    for clip, right in ((False, (x_0, noise)), (True, (kept, renewed))):
        got = lib.predict(Recorder(guess), x_t, t, schedule, clip)
        assert isinstance(got, tuple) and len(got) == 2, "predict returns two things: return x_0, noise"
        swapped = {"noise and x_0 are swapped: x_0 comes first": right[1]}
        clipping = {"x_0 is not clipped": x_0} if clip else {"x_0 is clipped although clip is False": kept}
        if clip:
            clipping["x_0 is clipped to [0, 1]: it lies in [-1, 1]"] = x_0.clamp(0, 1)
            squeezed = schedule.predict_x_0(x_t, t, noise.clamp(-1, 1))
            clipping["the noise is clipped: clip the x_0 that it implies"] = squeezed
        assert_close(f"x_0 with clip={clip}", got[0], right[0], swapped | clipping)
        renewing = {
            "x_0 was clipped and the noise was not computed anew: then Eq. 4 no longer joins them to x_t": noise
        }
        assert_close(
            f"the noise with clip={clip}",
            got[1],
            right[1],
            renewing if clip else {"the noise was computed from a clipped x_0": renewed},
        )
    model = Recorder(lambda x, t: guess(x, t).float())
    for value in lib.predict(model, x_t, t, schedule, False):
        assert value.dtype == x_t.dtype, f"x_0 and noise must have the dtype of x_t, {x_t.dtype}: .to(x_t.dtype)"
    assert not any(model.modes), "the model answers in training mode, with its dropout on: use predicted_noise"


@piece(
    "reverse_step",
    "predict gives x_0, clipped if asked; the posterior at s gives mean and beta_tilde; add sqrt(variance) times noise_like. With variance='beta' it is 1 - alpha_bar_t / alpha_bar_s, and none in a step to s = 0.",
    slice(2, None),
)
def check_reverse_step(lib):
    schedule, n, t, count = reference_schedule(lib), numbers(), 4, 100_000

    def formula(x, t):
        return 0.2 * x + 0.2 * t

    x, x_t = 0.5, torch.full((count, 1), 0.5, dtype=torch.float64)
    b, a, bar, before = (
        v[k].item() for v, k in ((n.betas, t), (n.alphas, t), (n.alpha_bars, t), (n.alpha_bars, t - 1))
    )

    def mean(clip=False, noise=0.2 * 0.5 + 0.2 * 4, low=-1.0):
        x_0 = (x - (1 - bar) ** 0.5 * noise) / bar**0.5
        x_0 = max(low, min(1.0, x_0)) if clip else x_0
        return before**0.5 * b / (1 - bar) * x_0 + a**0.5 * (1 - before) / (1 - bar) * x

    tilde, m, x_0 = (1 - before) / (1 - bar) * b, mean(), (x - (1 - bar) ** 0.5 * formula(x, t)) / bar**0.5
    times = torch.tensor([1, 2, 5, 9])

    def few(variance):
        return lambda x: lib.reverse_step(
            lambda x, t: 0.1 * x, x, times, schedule, generator=seeded(), variance=variance
        )

    for variance in ("beta_tilde", "beta"):
        check_one_t_for_each_image(f"x_{{t-1}} with variance={variance!r}", few(variance))
    model = Recorder(formula)
    drawn = lib.reverse_step(model, x_t, t, schedule, generator=seeded(), clip=False)
    seen = {k for times in model.times for k in times}
    assert seen != {t - 1}, f"t is off by one: the model was asked at t = {t - 1}, where x_t belongs to t = {t}"
    assert seen == {t}, f"the model must be asked at t = {t}, yours was asked at {sorted(seen)[:3]}"
    mistakes = {
        "the noise is scaled by the variance: take its square root": (m, tilde**2),
        "beta where beta_tilde was asked for": (m, b),
        "no noise is added": (m, 0),
        "uniform noise (rand) where normal noise (randn) belongs": (m + tilde**0.5 / 2, tilde / 12),
        "x_0 where the posterior's mean belongs: the step must go to t - 1, not to 0": (x_0, tilde),
        "noise for all of x_0, not of one step: this is x_{t-1} made from the predicted x_0 alone": (
            before**0.5 * x_0,
            1 - before,
        ),
        "x_0 is clipped although clip=False": (mean(clip=True), tilde),
        "sqrt(alpha_bar_t) where sqrt(alpha_t) belongs": ((x - b / (1 - bar) ** 0.5 * formula(x, t)) / bar**0.5, tilde),
        "all the predicted noise is taken away at once: one step takes beta / sqrt(1 - alpha_bar) of it": (
            (x - formula(x, t)) / a**0.5,
            tilde,
        ),
        "divided by alpha_t, its square root was left off": (
            (x - b / (1 - bar) ** 0.5 * formula(x, t)) / a,
            tilde,
        ),
        "1 - alpha_bar_t without its square root, under the predicted noise": (
            (x - b / (1 - bar) * formula(x, t)) / a**0.5,
            tilde,
        ),
        "the posterior's arguments are swapped: posterior(x_t, t, x_0)": (
            before**0.5 * b / (1 - bar) * x + a**0.5 * (1 - before) / (1 - bar) * x_0,
            tilde,
        ),
        "the model's answer is noise, not x_0: predict_x_0 turns it into x_0": (
            before**0.5 * b / (1 - bar) * formula(x, t) + a**0.5 * (1 - before) / (1 - bar) * x,
            tilde,
        ),
        "not divided by sqrt(alpha_t)": (x - b / (1 - bar) ** 0.5 * formula(x, t), tilde),
        "the predicted noise is added instead of taken away": (mean(noise=-formula(x, t)), tilde),
    }
    assert_moments("your x_3 (from x_4 = 0.5)", drawn, m, tilde, mistakes)
    drawn = lib.reverse_step(model, x_t, t, schedule, None, seeded(), False, "beta")
    assert_moments("x_3 with variance='beta'", drawn, m, b, {"the argument variance is not used": (m, tilde)})
    check_clipping_and_last_step(lib, schedule, mean)
    draws_alike("reverse_step", lambda g: lib.reverse_step(model, x_t[:3], t, schedule, generator=g))
    check_long_step(lib, schedule, x_t, formula)
    training = Recorder(formula).train()
    lib.reverse_step(training, x_t[:3], t, schedule)
    assert not any(training.modes), "the model answers in training mode, with its dropout on: ask it through `predict`"


def check_long_step(lib, schedule, x_t, formula):
    """The step from t = 6 to s = 3."""
    t, s, x_0 = 6, 3, schedule.predict_x_0(x_t, 6, formula(x_t, 6))
    (m, tilde), (short, short_tilde) = schedule.posterior(x_t, t, x_0, s), schedule.posterior(x_t, t, x_0)
    beta = 1 - schedule.alpha_bars[t] / schedule.alpha_bars[s]
    where = {variance: m.mean().item() for variance in ("beta_tilde", "beta")}
    for variance, added in (("beta_tilde", tilde.item()), ("beta", beta.item())):
        one = short_tilde.item() if variance == "beta_tilde" else schedule.betas[t].item()
        mistakes = {
            "s is not used: this goes to t - 1": (short.mean().item(), one),
            "betas[t] is the noise of one step; the step from s to t has 1 - alpha_bar_t / alpha_bar_s": (
                where[variance],
                one,
            ),
        }
        drawn = lib.reverse_step(Recorder(formula), x_t, t, schedule, s, seeded(), False, variance)
        assert_moments(f"x_3 from x_6 with variance={variance!r}", drawn, where[variance], added, mistakes)


def check_clipping_and_last_step(lib, schedule, mean):
    x_t = torch.full((3, 1), 0.5, dtype=torch.float64)

    def drawn(noise, clip):  # the model's answer implies an x_0 far above 1, or far below -1
        model = Recorder(lambda x, t: 0 * x + noise)
        return lib.reverse_step(model, x_t.expand(3, 40_000), 4, schedule, generator=seeded(), clip=clip)

    cases = [(-3.0, True), (-3.0, False), (3.0, True)]
    got, want = torch.stack([drawn(*case) for case in cases]), [mean(clip, noise) for noise, clip in cases]
    assert got[0].max() > 1, "x_{t-1} is clipped: clip the predicted x_0, before the posterior"
    mistakes = {
        "the argument clip is not used, x_0 is never clipped": [want[1], want[1], mean(False, 3.0)],
        "x_0 is clipped although clip=False": [want[0], want[0], want[2]],
        "x_0 is clipped to [0, 1]: it lies in [-1, 1]": [want[0], want[1], mean(True, 3.0, low=0.0)],
    }
    assert_close("the mean of x_3 with clip, and without", got.mean((1, 2)), want, mistakes, 0.02)
    for variance in ("beta_tilde", "beta"):
        drawn = lib.reverse_step(Recorder(lambda x, t: 0 * x), x_t, 1, schedule, None, seeded(), False, variance)
        spread = drawn.std().item()
        assert spread < 1e-6, (
            f"the step that lands on t = 0 adds noise (standard deviation {spread:.2g}, variance={variance!r}): it must add none"
        )
        assert_close("x_0 from x_1", drawn, x_t / (1 - schedule.betas[1]).sqrt())


@piece(
    "walk",
    "Yield (times[0], x_T). Then, for each two neighbouring times t and s (pairwise), take step(x_t, t, s) and yield (s, x_t). tqdm shows progress.",
)
def check_walk(lib):
    asked, x_T = [], torch.ones(2, 3, dtype=torch.float64)

    def step(x, t, s):
        asked.append((t, s))
        return 2 * x + t + 0.1 * s

    states = lib.walk(step, x_T, [9, 5, 2, 0], progress=False)
    assert inspect.isgenerator(states), "walk must yield its states one by one, not return them all"
    assert isinstance(next(states), tuple), "it must yield pairs: yield t, x_t"
    for times in ([9, 5, 2, 0], [0, 3, 9]):  # in any direction
        asked.clear()
        with silent("the walk"):
            found = list(lib.walk(step, x_T, times, progress=False))
        visited, right = [t for t, _ in found], [x_T]
        for t, s in pairwise(times):
            right.append(2 * right[-1] + t + 0.1 * s)
        assert visited != times[1:], "x_T comes first: yield times[0], x_T before any step"
        assert visited != times[:-1], f"the walk stops one step early: it must reach {times[-1]}"
        late = "what a step from t to s gives belongs to s: yield s, x_t"
        assert visited != [times[0], *times[:-1]], late
        assert visited == times, f"it must yield the times {times}, yours yields {visited}"
        pairs = list(pairwise(times))
        assert asked == pairs, f"the steps must go from each time of the list to the next, {pairs}; yours were {asked}"
        from_x_T = torch.stack([x_T, *[2 * x_T + t + 0.1 * s for t, s in pairs]])
        mistakes = {"every step starts from x_T: start each from the state before": from_x_T}
        assert_close("the states of the walk", torch.stack([x for _, x in found]), torch.stack(right), mistakes)


def states_of(lib, model, schedule, generator, steps=None, **options):
    """The states of Algorithm 2, x_T first, by the reference."""
    reference = lib.reference["sampling"]

    def step(x_t, t, s):
        return reference.reverse_step(model, x_t, t, schedule, s, generator, **options)

    x_T = reference.initial_noise(model, (40, 2), generator)
    return [x for _, x in reference.walk(step, x_T, reference.even_times(schedule.T, steps), progress=False)]


@piece(
    "sample",
    "A step(x_t, t, s) that is reverse_step with s, generator, clip and variance. Walk it from initial_noise along even_times(schedule.T, steps), and return the last_state.",
)
def check_sample(lib):
    schedule, model = reference_schedule(lib), Recorder(lambda x, t: 0.1 * x + 0.01 * t)
    got = lib.sample(model, schedule, (40, 2), generator=seeded(), progress=False)
    check_tensor("the sample (the walk yields t and x_t, return the last x_t)", got)
    draws_alike("the sample", lambda g: lib.sample(model, schedule, (40, 2), generator=g, progress=False))
    for options in ({}, {"clip": False}, {"variance": "beta"}, {"steps": 3}):
        states = states_of(lib, model, schedule, seeded(), **options)
        mistakes = {
            "this is x_T, pure noise: return the last state": states[0],
            "this is x_1: the last state is x_0": states[-2],
            "all states are stacked: return x_0 alone": torch.stack(states),
            "clipped at the end: reverse_step clips x_0 at every step, if asked": states[-1].clamp(-1, 1),
            "moved to [0, 1]: images are in [-1, 1] here": (states[-1] + 1) / 2,
        }
        if options:
            mistakes[f"{options} is not passed on"] = states_of(lib, model, schedule, seeded())[-1]
        with silent("sample"):
            got = lib.sample(model, schedule, (40, 2), generator=seeded(), progress=False, **options)
        hint = "each step must end at s, the next time: hand s on to reverse_step" if "steps" in options else ""
        assert_close("the sample", got, states[-1], mistakes, 1e-5, hint)
    x_T = torch.full((40, 2), 0.5)
    one, two = (lib.sample(model, schedule, (40, 2), generator=seeded(), x_T=x, progress=False) for x in (x_T, -x_T))
    assert not torch.equal(one, two), "x_T is not used: initial_noise takes it"


@piece(
    "sample_trajectory",
    "As in sample, but stack `frames` states of the walk, moved to the CPU: with all T steps those whose t is among even_times(T, frames - 1).",
)
def check_sample_trajectory(lib):
    schedule, model = reference_schedule(lib), Recorder(lambda x, t: 0.1 * x + 0.01 * t)
    for options in ({}, {"clip": False}, {"variance": "beta"}):
        check_frames(lib, model, schedule, options)


def check_frames(lib, model, schedule, options):
    states = states_of(lib, model, schedule, seeded(), **options)  # at t = 9, 8, ..., 0
    plain = states_of(lib, model, schedule, seeded())
    with silent("sample_trajectory"):
        got = lib.sample_trajectory(model, schedule, (40, 2), generator=seeded(), progress=False, frames=4, **options)
    assert not isinstance(got, list), "sample_trajectory returns a list: stack its states, torch.stack(...)"
    mistakes = {
        f"{options} is not passed on": torch.stack(plain[::3]),
        "from x_0 to x_T: x_T comes first": torch.stack(states[::-3]),
        "all states: keep `frames` of them": torch.stack(states),
        "the first frames of the way: spread them over all of it": torch.stack(states[:4]),
    }
    assert_close("sample_trajectory", got, torch.stack(states[::3]), mistakes, 1e-5)
