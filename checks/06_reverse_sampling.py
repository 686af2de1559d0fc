"""The pieces of notebook 06: their hints, and checks that name the classic mistakes."""

import inspect

import torch

from course.check import (
    Recorder,
    assert_close,
    assert_moments,
    check_one_t_for_each_image,
    check_tensor,
    draws_alike,
    numbers,
    piece,
    reference_schedule,
    same,
    seeded,
    silent,
)


@piece(
    "reverse_step",
    "predict_x_0 from the model's noise; clip it if asked; the posterior gives mean and beta_tilde; add sqrt(variance) times noise_like. With variance='beta' the step from t = 1 must add none.",
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
        return lambda x: lib.reverse_step(lambda x, t: 0.1 * x, x, times, schedule, seeded(), True, variance)

    for variance in ("beta_tilde", "beta"):
        check_one_t_for_each_image(f"x_{{t-1}} with variance={variance!r}", few(variance))
    model = Recorder(formula)
    drawn = lib.reverse_step(model, x_t, t, schedule, seeded(), clip=False)
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
        "the posterior's arguments are swapped: posterior(x_0, x_t, t)": (
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
    drawn = lib.reverse_step(model, x_t, t, schedule, seeded(), False, "beta")
    assert_moments("x_3 with variance='beta'", drawn, m, b, {"the argument variance is not used": (m, tilde)})
    check_clipping_and_last_step(lib, schedule, mean)
    draws_alike("reverse_step", lambda g: lib.reverse_step(model, x_t[:3], t, schedule, g))


def check_clipping_and_last_step(lib, schedule, mean):
    x_t = torch.full((3, 1), 0.5, dtype=torch.float64)

    def drawn(noise, clip):  # the model's answer implies an x_0 far above 1, or far below -1
        model = Recorder(lambda x, t: 0 * x + noise)
        return lib.reverse_step(model, x_t.expand(3, 40_000), 4, schedule, seeded(), clip)

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
        drawn = lib.reverse_step(Recorder(lambda x, t: 0 * x), x_t, 1, schedule, seeded(), False, variance)
        spread = drawn.std().item()
        assert spread < 1e-6, (
            f"the step that lands on t = 0 adds noise (standard deviation {spread:.2g}, variance={variance!r}): it must add none"
        )
        assert_close("x_0 from x_1", drawn, x_t / (1 - schedule.betas[1]).sqrt())


@piece(
    "reverse_process",
    "Yield (T, x_T) with x_T from initial_noise; then, in `with evaluating(model)`, a reverse_step for t = T, ..., 1, each time yielding (t - 1, x_t). tqdm shows progress.",
)
def check_reverse_process(lib):
    schedule, model = reference_schedule(lib), Recorder(lambda x, t: 0.1 * x + 0.01 * t).train()

    def run(seed=0, **options):
        with silent("the process"):
            return list(lib.reverse_process(model, schedule, (500, 2), seeded(seed), progress=False, **options))

    process = lib.reverse_process(model, schedule, (500, 2), seeded(), progress=False)
    assert inspect.isgenerator(process), "reverse_process must yield its states one by one, not return them all"
    assert isinstance(next(process), tuple), "it must yield pairs: yield t, x_t"
    model.times.clear()
    states = run()
    times, asked = [t for t, _ in states], [times[0] for times in model.times]
    assert times[0] == 9 and len(set(times)) == len(times), (
        f"it must yield t = 9, 8, ..., 0 for T = 9, yours yields {times}: x_T comes with T, and what a step from t gives with t - 1"
    )
    assert len(states) != 9 or times[0] != 9, (
        "the process stops one step early, at x_1: the last step is from t = 1 to t = 0"
    )
    assert times[-1] == 0, f"the process ends at t = {times[-1]}: it must end at t = 0"
    assert len(states) == 10 and times[0] == 9, (
        f"it must yield t = 9, 8, ..., 0 for T = 9, yours yields {times}: x_T comes first"
    )
    assert times == list(range(9, -1, -1)), f"it must yield t = 9, 8, ..., 0 for T = 9, yours yields {times}"
    assert asked != list(range(8, -1, -1)), "t is off by one: the step from x_t must ask the model at t"
    assert asked == list(range(9, 0, -1)), f"the model must be asked at t = 9, 8, ..., 1, yours was at {asked}"
    assert not any(model.modes), "the model samples in training mode, with its dropout on: use `with evaluating(model)`"
    assert model.training, "after sampling the model must be back in training mode: use `with evaluating(model)`"
    start = {"uniform noise (rand) where normal noise (randn) belongs": (0.5, 1 / 12), "x_T must be noise": (0, 0)}
    assert_moments("x_T", states[0][1], 0, 1, start)
    draws_alike("the process", lambda g: list(lib.reverse_process(model, schedule, (3, 2), g, progress=False))[-1][1])
    reference = lib.reference["sampling"].reverse_process
    for options in ({"clip": False}, {"variance": "beta"}, {}):
        right = [x for _, x in reference(model, schedule, (500, 2), seeded(), progress=False, **options)]
        passed = (
            f"with {options} the states differ: pass clip and variance on"
            if options
            else "the states differ: pass x_t, t and the generator on"
        )
        assert all(same(a, b, 1e-5) for (_, a), b in zip(run(**options), right, strict=True)), passed


@piece("sample", "Run reverse_process to its end and return the last x_t.")
def check_sample(lib):
    schedule, model = reference_schedule(lib), Recorder(lambda x, t: 0.1 * x + 0.01 * t)
    check_tensor(
        "the sample (the process yields t and x_t, return the last x_t)",
        lib.sample(model, schedule, (40, 2), seeded(), progress=False),
    )
    draws_alike("the sample", lambda g: lib.sample(model, schedule, (40, 2), g, progress=False))
    reference = lib.reference["sampling"].reverse_process
    for options in ({}, {"clip": False}, {"variance": "beta"}):
        states = [x for _, x in reference(model, schedule, (40, 2), seeded(), progress=False, **options)]
        mistakes = {
            "this is x_T, pure noise: return the last state": states[0],
            "this is x_1: the last state is x_0": states[-2],
            "all states are stacked: return x_0 alone": torch.stack(states),
            "clipped at the end: reverse_process clips x_0 at every step, if asked": states[-1].clamp(-1, 1),
            "moved to [0, 1]: images are in [-1, 1] here": (states[-1] + 1) / 2,
        }
        if options:
            mistakes[f"{options} is not passed on"] = [
                x for _, x in reference(model, schedule, (40, 2), seeded(), progress=False)
            ][-1]
        with silent("sample"):
            got = lib.sample(model, schedule, (40, 2), seeded(), progress=False, **options)
        assert_close("the sample", got, states[-1], mistakes, 1e-5)


@piece(
    "sample_trajectory",
    "Stack those states of reverse_process whose t is among trajectory_times(T, frames), moved to the CPU.",
)
def check_sample_trajectory(lib):
    schedule, model = reference_schedule(lib), Recorder(lambda x, t: 0.1 * x + 0.01 * t)
    for options in ({}, {"clip": False}, {"variance": "beta"}):
        check_frames(lib, model, schedule, options)


def check_frames(lib, model, schedule, options):
    process = lib.reference["sampling"].reverse_process
    states = dict(process(model, schedule, (40, 2), seeded(), progress=False, **options))
    plain = dict(process(model, schedule, (40, 2), seeded(), progress=False))
    with silent("sample_trajectory"):
        got = lib.sample_trajectory(model, schedule, (40, 2), seeded(), progress=False, frames=4, **options)
    assert not isinstance(got, list), "sample_trajectory returns a list: stack its states, torch.stack(...)"
    mistakes = {
        f"{options} is not passed on": torch.stack([plain[t] for t in (9, 6, 3, 0)]),
        "from x_0 to x_T: x_T comes first": torch.stack([states[t] for t in (0, 3, 6, 9)]),
        "all states: keep those of trajectory_times": torch.stack([states[t] for t in range(9, -1, -1)]),
        "the first frames of the way: spread them over all of it": torch.stack([states[t] for t in (9, 8, 7, 6)]),
    }
    assert_close("sample_trajectory", got, torch.stack([states[t] for t in (9, 6, 3, 0)]), mistakes, 1e-5)
