"""How the pieces and exercises of notebook 06 are tried, and which mistakes are known."""

import functools
import inspect
import io
from contextlib import redirect_stderr

import torch

from course.check import BETAS, Checks, kind, moments, same, seeded, twice

checks = Checks()


class Formula(torch.nn.Module):
    """A model that answers `a * x + b * t`; in training mode, where dropout would be on, it answers something else."""

    def __init__(self, a, b, training=False):
        super().__init__()
        self.a, self.b = a, b
        self.train(training)

    def forward(self, x, t):
        return self.a * x + self.b * torch.as_tensor(t).reshape(-1, *[1] * (x.ndim - 1)) - float(self.training)


DROPOUT = "the model answers in training mode, with its dropout on"


@checks.piece("predict", "The model's noise (predicted_noise) and the x_0 it implies. With clip: clip x_0, then compute the noise anew from it (predict_noise).")
def _(lib):
    x_t, t = torch.tensor([[0.7], [2.5], [-2.5]], dtype=torch.float64), torch.tensor([2, 6, 6])

    def both(clip, model):
        got = lib.predict(model, x_t, t, lib.NoiseSchedule(BETAS), clip)
        assert isinstance(got, tuple) and len(got) == 2, "predict returns two things: return x_0, noise"
        return got

    found = {}
    for clip in (False, True):
        x_0, noise = both(clip, Formula(0.4, 0.08))
        found |= {f"x_0 with clip={clip}": x_0, f"the noise with clip={clip}": noise}
    found["the dtypes of x_0 and noise, from a model in float32"] = str([kind(v) for v in both(False, lambda x, t: x.float())])
    return found | {"x_0 by a model in training mode": both(False, Formula(0.4, 0.08, training=True))[0]}


CLIPPED = "x_0 = x_0.clamp(-1, 1)\n    return (x_0, schedule.predict_noise(x_t, t, x_0))"
checks.mistakes("predict", [
    ("(x_0, noise)", "(noise, x_0)", "noise and x_0 are swapped: x_0 comes first"),
    ("schedule.predict_noise(x_t, t, x_0)", "noise", "x_0 was clipped and the noise was not computed anew: then Eq. 4 no longer joins them to x_t"),
    ("    x_0 = x_0.clamp(-1, 1)\n", "", "x_0 is not clipped"),
    ("    if not clip:\n        return (x_0, noise)\n", "", "x_0 is clipped although clip is False"),
    ("clamp(-1, 1)", "clamp(0, 1)", "x_0 is clipped to [0, 1]: it lies in [-1, 1]"),
    (CLIPPED, "noise = noise.clamp(-1, 1)\n    return (schedule.predict_x_0(x_t, t, noise), noise)", "the noise is clipped: clip the x_0 that it implies"),
    ("(x_0, noise)", "(x_0, schedule.predict_noise(x_t, t, x_0.clamp(-1, 1)))", "the noise was computed from a clipped x_0"),
    ("predicted_noise(model, x_t, t)", "model(x_t, time_of_each(t, x_t))", "x_0 and noise must have the dtype of x_t, torch.float64: .to(x_t.dtype)"),
    ("predicted_noise(model, x_t, t)", "model(x_t, time_of_each(t, x_t)).to(x_t.dtype)", f"{DROPOUT}: use predicted_noise"),
])  # fmt: skip


@checks.piece(
    "reverse_step",
    "predict gives x_0, clipped if asked; the posterior at s gives mean and beta_tilde; add sqrt(variance) times noise_like. "
    "With variance='beta' it is 1 - alpha_bar_t / alpha_bar_s, and none in a step to s = 0.",
)
def _(lib):
    schedule, x = lib.NoiseSchedule(BETAS), torch.full((100_000, 1), 0.5, dtype=torch.float64)

    def step(t=4, s=None, clip=False, variance="beta_tilde", model=None, x=x):
        return lib.reverse_step(model or Formula(0.2, 0.2), x, t, schedule, s, seeded(), clip, variance)

    found = {"x_3 from x_4 = 0.5": moments(step()), "x_3 with variance='beta'": moments(step(variance="beta"))}
    for noise, far in ((-3, "above 1"), (3, "below -1")):
        for clip in (True, False):
            found[f"x_3 with clip={clip}, where the predicted noise implies an x_0 far {far}"] = moments(step(clip=clip, model=Formula(0, noise / 4)))
    for variance in ("beta_tilde", "beta"):
        found[f"x_0 from x_1 with variance={variance!r}"] = moments(step(1, variance=variance))
        found[f"x_3 from x_6 with variance={variance!r}"] = moments(step(6, 3, variance=variance))
        drawn = step(torch.tensor([1, 2, 9]), variance=variance, x=x.reshape(-1)[:60_000].reshape(3, -1))
        found |= {f"image {k} of three with t = 1, 2, 9 and variance={variance!r}": moments(drawn[k]) for k in range(3)}
    found["x_3, twice with one seed"] = twice(step)
    return found | {"x_3 by a model in training mode": moments(step(model=Formula(0.2, 0.2, training=True)))}


PREDICT, POSTERIOR = "x_0, _ = predict(model, x_t, t, schedule, clip)", "mean, added = schedule.posterior(x_t, t, x_0, s)"
EQ_11 = POSTERIOR + "\n    alpha, bar, beta = (per_image(v[t], x_t) for v in (schedule.alphas, schedule.alpha_bars, schedule.betas))\n    mean = "
BETA, RETURN = "1 - schedule.alpha_bars[t] / schedule.alpha_bars[s]", "return mean + added.sqrt() * noise_like(x_t, generator)"
CLAMPED = "if clip:\n        return reverse_step(model, x_t, t, schedule, s, generator, False, variance).clamp(-1, 1)\n    "
OWN = "each image has a t of its own: "
checks.mistakes("reverse_step", [
    ("added.sqrt()", "added", "the noise is scaled by the variance: take its square root"),
    ("if variance == 'beta':", "if True:", "beta where beta_tilde was asked for"),
    (" + added.sqrt() * noise_like(x_t, generator)", "", "no noise is added"),
    ("noise_like(x_t, generator)", "torch.rand(x_t.shape, generator=generator)", "uniform noise (rand) where normal noise (randn) belongs"),
    ("return mean", "return x_0", "x_0 where the posterior's mean belongs: the step must go to t - 1, not to 0"),
    (POSTERIOR, "added = per_image(1 - schedule.alpha_bars[s], x_t)\n    mean = (1 - added).sqrt() * x_0", "noise for all of x_0, not of one step: this is x_{t-1} made from the predicted x_0 alone"),
    ("schedule, clip)", "schedule, True)", "x_0 is clipped although clip=False"),
    ("schedule, clip)", "schedule, False)", "the argument clip is not used, x_0 is never clipped"),
    (PREDICT, PREDICT + "\n    x_0 = x_0.clamp(0, 1) if clip else x_0", "x_0 is clipped to [0, 1]: it lies in [-1, 1]"),
    ("t, s = schedule", CLAMPED + "t, s = schedule", "x_{t-1} is clipped: clip the predicted x_0, before the posterior"),
    (POSTERIOR, EQ_11 + "(x_t - beta / (1 - bar).sqrt() * _) / bar.sqrt()", "sqrt(alpha_bar_t) where sqrt(alpha_t) belongs"),
    (POSTERIOR, EQ_11 + "(x_t - _) / alpha.sqrt()", "all the predicted noise is taken away at once: one step takes beta / sqrt(1 - alpha_bar) of it"),
    (POSTERIOR, EQ_11 + "(x_t - beta / (1 - bar).sqrt() * _) / alpha", "divided by alpha_t, its square root was left off"),
    (POSTERIOR, EQ_11 + "(x_t - beta / (1 - bar) * _) / alpha.sqrt()", "1 - alpha_bar_t without its square root, under the predicted noise"),
    (POSTERIOR, EQ_11 + "x_t - beta / (1 - bar).sqrt() * _", "not divided by sqrt(alpha_t)"),
    (POSTERIOR, EQ_11 + "(x_t + beta / (1 - bar).sqrt() * _) / alpha.sqrt()", "the predicted noise is added instead of taken away"),
    ("posterior(x_t, t, x_0, s)", "posterior(x_0, t, x_t, s)", "the posterior's arguments are swapped: posterior(x_t, t, x_0)"),
    (PREDICT, "x_0 = predicted_noise(model, x_t, t)\n    x_0 = x_0.clamp(-1, 1) if clip else x_0", "the model's answer is noise, not x_0: predict_x_0 turns it into x_0"),
    ("predict(model, x_t", "predict(lambda x, t: model(x, t - 1), x_t", "t is off by one: the model was asked at t - 1, where x_t belongs to t"),
    ("if variance == 'beta':", "if False:", "the argument variance is not used"),
    (" * (s > 0)", "", "the step that lands on t = 0 adds noise: it must add none"),
    ("x_0, s)", "x_0)", "s is not used: this goes to t - 1"),
    (BETA, "schedule.betas[t]", "betas[t] is the noise of one step; the step from s to t has 1 - alpha_bar_t / alpha_bar_s"),
    (RETURN, f"if s > 0:\n        {RETURN}\n    return mean", f"{OWN}no `if` can ask them all; (s > 0) times the variance is none where s = 0"),
    (f"per_image(({BETA}) * (s > 0), x_t)", f"({BETA}) * (s > 0)", f"{OWN}per_image(..., x_t) gives its coefficient the shape that multiplies x_t"),
    ("noise_like(x_t, generator)", "noise_like(x_t)", "one seed, two draws: hand `generator` on to noise_like"),
    (PREDICT, "x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))\n    x_0 = x_0.clamp(-1, 1) if clip else x_0", f"{DROPOUT}: ask it through `predict`"),
])  # fmt: skip


def shown(call):
    """What a call returns, and whether it has shown a progress bar, which is written to stderr."""
    with redirect_stderr(io.StringIO()) as written:
        return call(), "a progress bar" if written.getvalue() else "none"


@checks.piece("walk", "Yield (times[0], x_T). Then, for each two neighbouring times t and s (pairwise), take step(x_t, t, s) and yield (s, x_t). tqdm shows progress.")
def _(lib):
    asked, found = [], {}

    def step(x, t, s):
        asked.append((t, s))
        return 2 * x + t + 0.1 * s

    for times in ([9, 5, 2, 0], [0, 3, 9]):  # in any direction
        states = lib.walk(step, torch.ones(2, 3).double(), times, progress=False)
        assert inspect.isgenerator(states), "walk must yield its states one by one, not return them all"
        states, bar = shown(functools.partial(list, states))
        assert isinstance(states[0], tuple), "it must yield pairs: yield t, x_t"
        found |= {f"the times that it yields, of {times}": str([t for t, _ in states]), f"the steps along {times}": str(asked)}
        found |= {f"the states along {times}": torch.stack([x for _, x in states]), "with progress=False": bar}
        asked.clear()
    return found


checks.mistakes("walk", [
    ("    yield (times[0], x_t)\n", "", "x_T comes first: yield times[0], x_T before any step"),
    ("list(pairwise(times))", "list(pairwise(times))[:-1]", "the walk stops one step early: it must reach the last of the times"),
    ("yield (s, x_t)", "yield (t, x_t)", "what a step from t to s gives belongs to s: yield s, x_t"),
    ("step(x_t, t, s)", "step(x_t, t, t - 1)", "the steps must go from each time of the list to the next"),
    ("step(x_t, t, s)", "step(x_T, t, s)", "every step starts from x_T: start each from the state before"),
    ("disable=not progress", "disable=False", "the walk shows a progress bar although progress=False"),
])  # fmt: skip

OPTIONS = {"": {}, " with clip=False": {"clip": False}, " with variance='beta'": {"variance": "beta"}, " with steps=6": {"steps": 6}}


def drawn(sampler, lib, **others):
    """What a sampler gives with each of the options, and whether it shows a progress bar."""
    found = {}

    def draw(**option):
        return sampler(Formula(0.1, 0.01), lib.NoiseSchedule(BETAS), (40, 2), generator=seeded(), progress=False, **others, **option)

    for name, option in (OPTIONS | {" with an x_T": {"x_T": torch.full((40, 2), 0.5)}}).items():
        got, bar = shown(functools.partial(draw, **option))
        again, _ = shown(functools.partial(twice, draw))
        found |= {"what it returns": kind(got), "called twice with one seed": again, f"what it draws{name}": got, "with progress=False": bar}
    return found


SHARED = [
    ("generator, clip,", "generator, True,", "clip is not passed on"),
    ("clip, variance)", "clip)", "variance is not passed on"),
    ("even_times(schedule.T, steps)", "even_times(schedule.T)", "steps is not passed on"),
    ("schedule, s, generator", "schedule, None, generator", "each step must end at s, the next time: hand s on to reverse_step"),
    ("schedule, s, generator", "schedule, s, None", "it differs from call to call with the same seed: hand `generator` on to reverse_step"),
    ("shape, generator, x_T)", "shape, generator)", "x_T is not used: initial_noise takes it"),
    ("times, progress)", "times)", "it shows a progress bar although progress=False: hand it on to walk"),
]


@checks.piece("sample", "A step(x_t, t, s) that is reverse_step with s, generator, clip and variance. Walk it from initial_noise along even_times(schedule.T, steps), and return the last_state.", 1e-5)
def _(lib):
    return drawn(lib.sample, lib)


LAST = "last_state(walk(step, initial_noise(model, shape, generator, x_T), times, progress))"
checks.mistakes("sample", SHARED + [
    (LAST, LAST[11:-1], "the walk yields t and x_t, return the last x_t"),
    (LAST, "initial_noise(model, shape, generator, x_T)", "this is x_T, pure noise: return the last state"),
    (LAST, f"list({LAST[11:-1]})[-2][1]", "this is x_1: the last state is x_0"),
    (LAST, f"torch.stack([x for _, x in {LAST[11:-1]}])", "all states are stacked: return x_0 alone"),
    (LAST, f"{LAST}.clamp(-1, 1)", "clipped at the end: reverse_step clips x_0 at every step, if asked"),
    (LAST, f"({LAST} + 1) / 2", "moved to [0, 1]: images are in [-1, 1] here"),
])  # fmt: skip


@checks.piece("sample_trajectory", "As in sample, but stack `frames` states of the walk, moved to the CPU: with all T steps those whose t is among even_times(T, frames - 1).", 1e-5)
def _(lib):
    return drawn(lib.sample_trajectory, lib, frames=4)


STATES = "torch.stack([x_t.cpu() for t, x_t in states if t in kept])"
checks.mistakes("sample_trajectory", SHARED + [
    (STATES, STATES[12:-1], "sample_trajectory returns a list: stack its states, torch.stack(...)"),
    (STATES, f"{STATES}.flip(0)", "from x_0 to x_T: x_T comes first"),
    (" if t in kept", "", "all states: keep `frames` of them"),
    (" if t in kept]", "][:frames]", "the first frames of the way: spread them over all of it"),
])  # fmt: skip


@checks.exercise(1, 1e-5)
def _(answer, page):
    found = {}
    for variance in ("beta_tilde", "beta"):
        sigmas = answer(page.NoiseSchedule(page.linear_betas(50)), variance)
        found |= {f"{variance}: the number of sigmas": len(sigmas), f"{variance}: sigma_2 to sigma_T": sigmas[2:], f"{variance}: sigma_0 and sigma_1": sigmas[:2]}
    return found


checks.mistakes(1, [
    (".sqrt()", "", "these are the variances; the noise is multiplied with their square roots"),
    ("'beta_tilde'", "'beta'", "these are the values of the other choice of variance"),
    ("squared.sqrt()", "squared[1:].sqrt()", "sigma_0 is missing: return T + 1 of them"),
    ("    squared[1] = 0\n", "", "the step that lands on t = 0 adds no noise, so sigma_1 is 0"),
    ("squared[1:] *= (1 - a[:-1]) / (1 - a[1:])", "squared *= (1 - torch.cat([a[:1], a[:-1]])) / (1 - a)", "at t = 0 the formula divides 0 by 0; that entry is 0"),
])  # fmt: skip


@checks.exercise(2, 1e-5)
def _(answer, page):
    x_0, noise = 0.5 * torch.randn(2, 2, 1, 4, 4, generator=seeded(10))
    calls = []

    def model(x_t, t):
        calls.append((int(t.max()), x_t.clone()))
        return 0.5 * x_t

    def vary():
        return answer(model, page.NoiseSchedule(page.linear_betas(40)), x_0, 15, noise, seeded(11))

    got = vary()
    assert calls, "the model was never called: after noising, run reverse_step from t down to 1"
    found = {"the state in the first reverse step": calls[0][1], "the times of your steps": str([t for t, _ in calls])}
    return found | {"twice with one seed": twice(vary), "the result": got}


X = "x = reverse_step(model, x, step, schedule, generator=generator)"
checks.mistakes(2, [
    ("schedule.add_noise(x_0, t, noise)", "noise", "it is the pure noise; start from add_noise(x_0, t, noise)"),
    ("schedule.add_noise(x_0, t, noise)", "x_0", "it is clean; noise it first"),
    ("range(t, 0, -1)", "range(schedule.T, 0, -1)", "they start at T = 40; x_t belongs to step t = 15, so start there"),
    ("range(t, 0, -1)", "range(t, 1, -1)", "they stop at t = 2; the chain ends with t = 1, which lands on 0"),
    ("range(t, 0, -1)", "range(t - 1, 0, -1)", "they start at t - 1; the first step to undo is step t"),
    ("range(t, 0, -1)", "range(1, t + 1)", "they run upwards; t falls from step to step"),
    (", generator=generator", "", "one seed, two results: hand `generator` on to reverse_step"),
    (X + "\n    return x", f"late, {X.replace('= ', '= x, ')}\n    return late", "it is x_1: return what the last step gives"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    schedule = page.NoiseSchedule(page.linear_betas(100))
    squared = torch.tensor([0.0, 0.0, *[float(answer(t, schedule)) for t in range(2, 101)]], dtype=torch.float64)
    assert torch.isfinite(squared).all() and (squared >= 0).all(), "a variance is a finite number and not negative"
    beta_tilde, _, beta = page.step_variances(schedule, 1.0)
    assert not same(squared[2:], beta_tilde[2:]), "this is beta_tilde itself: too narrow, most of all for the small stds"
    assert not same(squared[2:], beta[2:]), "this is beta itself: too wide for the small stds"
    assert squared[2:].mean() < 2 * beta[2:].mean(), "far above beta at most t: did you return a standard deviation instead of a variance?"
    errors = [page.final_variance(schedule, std, squared) / std**2 - 1 for std in (0.1, 0.2, 0.3, 0.5)]
    told = ", ".join(f"{error:+.1%}" for error in errors)
    assert max(map(abs, errors)) < 0.1, f"errors for std 0.1, 0.2, 0.3, 0.5: {told}; minus is too narrow (add more noise), plus too wide; keep all under 10 %"


BLEND = "0.25 * beta_tilde + 0.75 * beta"
checks.mistakes(3, [
    (BLEND, "beta_tilde", "this is beta_tilde itself"),
    (BLEND, "beta", "this is beta itself"),
    (BLEND, f"({BLEND}).sqrt()", "a standard deviation instead of a variance"),
    (BLEND, "(beta_tilde * beta).sqrt()", "-14.7%, -9.1%, -7.0%, -5.3%; minus is too narrow"),
])  # fmt: skip
