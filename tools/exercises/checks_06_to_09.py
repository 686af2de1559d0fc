"""The pieces of notebooks 06 to 09: their hints, and checks that name the classic mistakes (see tools/exercises/pieces.py)."""

import inspect
import io
import math
from contextlib import contextmanager, redirect_stderr
from itertools import pairwise
from unittest.mock import patch

import torch

from tools.diagnose import explain_moments, same
from tools.exercises.pieces import (
    Recorder,
    advising,
    check_one_t_for_each_image,
    check_tensor,
    column,
    compare,
    draws_alike,
    normal,
    numbers,
    piece,
    reference_schedule,
    seeded,
)

# 06, sampling


@piece(
    "sampling",
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
    explain_moments("your x_3 (from x_4 = 0.5)", drawn, m, tilde, mistakes)
    drawn = lib.reverse_step(model, x_t, t, schedule, seeded(), False, "beta")
    explain_moments("x_3 with variance='beta'", drawn, m, b, {"the argument variance is not used": (m, tilde)})
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
    compare("the mean of x_3 with clip, and without", got.mean((1, 2)), want, mistakes, 0.02)
    for variance in ("beta_tilde", "beta"):
        drawn = lib.reverse_step(Recorder(lambda x, t: 0 * x), x_t, 1, schedule, seeded(), False, variance)
        spread = drawn.std().item()
        assert spread < 1e-6, (
            f"the step that lands on t = 0 adds noise (standard deviation {spread:.2g}, variance={variance!r}): it must add none"
        )
        compare("x_0 from x_1", drawn, x_t / (1 - schedule.betas[1]).sqrt())


@piece(
    "sampling",
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
    explain_moments("x_T", states[0][1], 0, 1, start)
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


@contextmanager
def silent(what):
    """Assert that nothing shows a progress bar, where progress=False."""
    with redirect_stderr(io.StringIO()) as shown:
        yield
    assert not shown.getvalue(), (
        f"{what} shows a progress bar although progress=False: pass it on, disable=not progress"
    )


@piece("sampling", "sample", "Run reverse_process to its end and return the last x_t.")
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
        compare("the sample", got, states[-1], mistakes, 1e-5)


@piece(
    "sampling",
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
    compare("sample_trajectory", got, torch.stack([states[t] for t in (9, 6, 3, 0)]), mistakes, 1e-5)


# 07, training


@piece(
    "training",
    "EMA.update",
    "Count the update; kept = (1 - 1/k)^(gamma + 1); each averaged parameter becomes kept times itself plus (1 - kept) times the model's.",
)
def check_ema(lib):
    class Weight(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([float(value)]))
            self.bias = torch.nn.Parameter(torch.tensor([2 * float(value)]))

    def run(keep, first=1):
        average = 5.0
        for k, value in enumerate((1.0, 3.0, 10.0), start=first):
            average = keep(k) * average + (1 - keep(k)) * value
        return average

    def power(k):
        return (1 - 1 / k) ** 3

    ema, models = lib.EMA(Weight(5), gamma=2), [Weight(v) for v in (1.0, 3.0, 10.0)]
    with advising(ZeroDivisionError, "k counts from 1: self.updates += 1 comes first"):
        for model in models:
            ema.update(model)
    kept = [model.weight.item() for model in models]
    assert kept == [1.0, 3.0, 10.0], f"the model's own weights were changed, to {kept}: only ema.model changes"
    counts = {
        "not counted: self.updates += 1": 0,
        "counted for every parameter: count once in an update": 6,
    }
    compare("ema.updates after three updates", ema.updates, 3, counts)
    mistakes = {
        "the average never moves": 5.0,
        "this is a copy of the last weights, no average": 10.0,
        "the decay is swapped: the old average keeps `kept`, the new weights get 1 - kept": run(lambda k: 1 - power(k)),
        "gamma where gamma + 1 belongs in the exponent": run(lambda k: (1 - 1 / k) ** 2),
        "k is off by one: the first update has k = 1, and forgets the start": run(power, 2),
        "the plain mean of all weights": 14 / 3,
        "a constant decay of 0.999, not kept = (1 - 1/k)^(gamma + 1)": run(lambda k: 0.999),
        "a constant decay of 0.9999, not kept = (1 - 1/k)^(gamma + 1)": run(lambda k: 0.9999),
        "1 - (1/k)^(gamma + 1) where (1 - 1/k)^(gamma + 1) belongs": run(lambda k: 1 - 1 / k**3),
        "times gamma + 1, it is an exponent": run(lambda k: (1 - 1 / k) * 3),
        "the new weights are added and the old average keeps all: multiply it by `kept`": 5
        + sum((1 - power(k)) * value for k, value in enumerate((1.0, 3.0, 10.0), start=1)),
    }
    compare(
        "the average of the weights 1, 3, 10 (start 5, gamma 2)", ema.model.weight.item(), run(power), mistakes, 1e-5
    )
    compare("the average of the second parameter", ema.model.bias.item(), 2 * run(power), tolerance=1e-5)


@piece(
    "training",
    "learning_rate_factor",
    "The warm-up lasts a tenth of the steps, at most 200, at least 1; it rises as (step + 1) / warm_up. Times half a cosine from 1 to 0.",
)
def check_learning_rate(lib):
    cases = [(step, steps) for steps in (100, 6000) for step in (0, 3, 50, 99)] + [(300, 6000), (5000, 6000)]

    def warm_up(steps):
        return max(1, min(steps // 10, 200))

    def rise(step, steps):
        return min(1, (step + 1) / warm_up(steps))

    def fall(share):
        return 0.5 * (1 + math.cos(math.pi * share))

    def table(formula):
        return [formula(step, steps) for step, steps in cases]

    right = table(lambda k, n: rise(k, n) * fall(k / n))
    mistakes = {
        "no warm-up": lambda k, n: fall(k / n),
        "no cosine": rise,
        "the warm-up starts at 0, so the first step does nothing: (step + 1) / warm_up": lambda k, n: (
            min(1, k / warm_up(n)) * fall(k / n)
        ),
        "the cosine begins after the warm-up: it falls from step 0 on, over all steps": lambda k, n: (
            rise(k, n) if k < warm_up(n) else fall((k - warm_up(n)) / (n - warm_up(n)))
        ),
        "the cosine is left out during the warm-up: multiply the two at every step": lambda k, n: (
            rise(k, n) if k < warm_up(n) else fall(k / n)
        ),
        "the rise goes on above 1: min(1, ...)": lambda k, n: (k + 1) / warm_up(n) * fall(k / n),
        "a whole turn of the cosine, which comes back up: half a turn": lambda k, n: rise(k, n) * fall(2 * k / n),
        "half of that turn: the cosine must reach pi, where the factor is 0": lambda k, n: rise(k, n) * fall(k / n / 2),
        "a quarter turn, cos from 0 to pi / 2: 0.5 (1 + cos) from 0 to pi": lambda k, n: (
            rise(k, n) * math.cos(math.pi / 2 * k / n)
        ),
        "a cosine from 1 to -1, which ends in a negative rate: 0.5 (1 + cos)": lambda k, n: (
            rise(k, n) * math.cos(math.pi * k / n)
        ),
        "the cosine rises from 0 to 1: 1 + cos, not 1 - cos": lambda k, n: rise(k, n) * (1 - fall(k / n)),
        "step + 1 belongs in the warm-up alone": lambda k, n: rise(k, n) * fall((k + 1) / n),
        "the warm-up is not capped at 200 steps": lambda k, n: min(1, (k + 1) / (n // 10)) * fall(k / n),
        "the warm-up takes 200 steps in every run: a tenth of the steps, at most 200": lambda k, n: (
            min(1, (k + 1) / 200) * fall(k / n)
        ),
        "the warm-up takes at least 200 steps, max for min": lambda k, n: (
            min(1, (k + 1) / max(n // 10, 200)) * fall(k / n)
        ),
    }
    got = [lib.learning_rate_factor(*case) for case in cases]
    assert None not in got, "learning_rate_factor returns None: is there a return?"
    told = {mistake: table(formula) for mistake, formula in mistakes.items()}
    compare("learning_rate_factor (at steps 0, 3, 50, 99 of 100, ...)", got, right, told)
    with advising(ZeroDivisionError, "a run of fewer than ten steps has a warm-up too: at least 1"):
        lib.learning_rate_factor(0, 1)


@piece(
    "training",
    "stratified_times",
    "Slice k reaches from k T / count to (k + 1) T / count. Draw one place within each (torch.rand), round down, and add 1.",
)
def check_stratified_times(lib):
    T, count = 100, 10
    check_tensor("stratified_times(10, 100)", lib.stratified_times(count, T, seeded()))
    drawn = torch.stack([lib.stratified_times(count, T, seeded(k)) for k in range(2000)])
    assert drawn.shape == (2000, count), (
        f"stratified_times(10, 100) must have shape (10,), yours has {tuple(drawn.shape[1:])}"
    )
    assert drawn.dtype == torch.int64, f"the times must be int64, yours are {drawn.dtype}"
    assert drawn.min() > 0, "t = 0 comes: the times run from 1 to T, add 1"
    assert drawn.max() <= T, f"t = {int(drawn.max())} comes, above T = 100"
    slices = (drawn - 1) * count // T
    assert not (slices.double().std(0) > 1).all(), (
        "the times are independent: draw one from each of the equal slices of 1..T"
    )
    assert (slices == torch.arange(count)).all(), (
        "there must be one time from each slice, rising: 1..10, 11..20, ..., for count = 10, T = 100"
    )
    within = (drawn - 1) % (T // count)
    assert within.double().std() > 0.1, "always the same times: draw a random place within each slice"
    assert (within != within[:, :1]).any(), "all slices share one random number: draw one for each slice"
    assert (torch.bincount(within.flatten(), minlength=10) > 1700).all(), "the times within a slice must be uniform"
    uneven = torch.cat([lib.stratified_times(16, T, seeded(k)) for k in range(2000)])
    assert (torch.bincount(uneven, minlength=T + 1)[1:] > 200).all(), (
        "with 16 slices of 1..100 some times never come: T / count is no whole number, don't round it"
    )
    draws_alike("stratified_times", lambda g: lib.stratified_times(50, 1000, g))


class Loud(torch.nn.Module):
    """A little network with dropout and a large gradient."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[3.0, 1.0], [-2.0, 0.5]]))
        self.modes = []

    def forward(self, x_t, t):
        self.modes.append(self.training)
        return 10 * x_t @ self.weight


def trained(lib, step, steps=6, before=lambda state: None):
    """A small state after a few of these steps, with the losses that they returned."""
    state = lib.TrainingState(Loud().eval(), reference_schedule(lib), steps=20, batch_size=4, learning_rate=0.1)
    images, returned = normal(16, 2).float().clamp(-1, 1), []
    for _ in range(steps):
        before(state)
        returned.append(step(state, images))
    return state, returned


@piece(
    "training",
    "train_step",
    "The loss within mixed_precision(state); clear the old gradients; backward; clip their norm to 1; a FloatingPointError that names the loss or the gradient where it is not finite; set the learning rate; step the optimiser; update the average; count the step; keep and return the loss as a float, mean_over_processes of it.",
    slice(2, None),
)
def check_train_step(lib):
    reference = lib.reference["training"].train_step
    state, returned = trained(lib, lib.train_step, 1)
    assert isinstance(returned[0], float), (
        f"train_step must return the loss as a float, yours returns {type(returned[0]).__name__}: .item()"
    )
    assert not torch.equal(state.model.weight, Loud().weight), (
        "the weights have not changed: optimizer.zero_grad(), loss.backward(), optimizer.step(), in this order"
    )
    assert all(state.model.modes), "the model is in evaluation mode while it trains: state.model.train()"
    assert state.step == 1 and len(state.losses) == 1, (
        f"after one step state.step is {state.step} and there are {len(state.losses)} losses: count the step, keep its loss"
    )
    assert state.ema.updates == 1, (
        f"the average was updated {state.ema.updates} times in one step: state.ema.update(model)"
    )
    rate, factor = state.optimizer.param_groups[0]["lr"], lib.reference["training"].learning_rate_factor(0, 20)
    compare(
        "the learning rate of the first step",
        rate,
        0.1 * factor,
        {
            "the schedule of the rate is not used": 0.1,
            "the factor alone: multiply it by settings['learning_rate']": factor,
            "the step is counted too early: the first step has state.step = 0": 0.1
            * lib.reference["training"].learning_rate_factor(1, 20),
        },
    )
    length = state.model.weight.grad.norm().item()
    assert length < 1.001, (
        f"the gradient's norm is {length:.3g}, not clipped to 1: clip_grad_norm_ after backward, before the step"
    )
    right, expected = trained(lib, reference)
    state, returned = trained(lib, lib.train_step)
    plain = {
        "the gradients of all steps pile up: clear them first, optimizer.zero_grad()": "backward clip rate step",
        "the gradient is clipped after the step: clip it before": "clear backward rate step",
        "the gradient is clipped by value: clip its norm, clip_grad_norm_": "clear backward clip_value rate step",
        "the learning rate is set after the optimiser's step: set it before": "clear backward clip step rate",
        "the last step's rate is multiplied by the factor: multiply settings['learning_rate']": "clear backward clip rate_again step",
        "new times and noise are drawn: hand those of draw_batch to the loss": "own clear backward clip rate step",
    }
    weights = {mistake: trained(lib, plain_step(lib, order))[0].model.weight for mistake, order in plain.items()}
    compare("the weights after six steps", state.model.weight, right.model.weight, weights, 1e-4)
    early = trained(lib, plain_step(lib, "clear backward clip rate average step"))[0].ema.model.weight
    early = {"the average is taken before the optimiser's step: take it after": early}
    compare("the averaged weights", state.ema.model.weight, right.ema.model.weight, early, 1e-4)
    compare("the losses returned", returned, expected, tolerance=1e-4)
    floats = [loss for loss in state.losses if isinstance(loss, float)]
    assert floats == returned, "state.losses must hold the losses that are returned, as floats"
    for what in ("loss", "gradient"):
        check_stop(lib, trained(lib, reference, 1)[0], what)
    with patch.dict(inspect.unwrap(lib.train_step).__globals__, mean_over_processes=lambda loss: 7.0):
        _, returned = trained(lib, lib.train_step, 1)
    assert returned == [7.0], "this is the loss of one process among several: keep and return mean_over_processes(loss)"


def check_stop(lib, state, what):
    """Assert that a step whose loss or gradient is infinite is refused, by name, before a weight changes."""
    before = state.model.weight.detach().clone()
    if what == "loss":
        state.model.forward = lambda x_t, t: x_t @ state.model.weight * math.inf
    else:
        state.model.weight.register_hook(lambda gradient: gradient / 0)
    try:
        lib.train_step(state, normal(16, 2).float().clamp(-1, 1))
    except FloatingPointError as error:
        assert what in str(error), f"the FloatingPointError must name the {what}, which is not finite; it says: {error}"
        assert torch.equal(before, state.model.weight), (
            f"a {what} that is not finite must be refused before a weight changes"
        )
        return
    raise AssertionError(f"a {what} that is not finite must raise FloatingPointError")


def plain_step(lib, order):
    """A train_step that does these things in this order."""

    def step(state, images):
        model, training = state.model.train(), lib.reference["training"]
        x_0, t, noise = training.draw_batch(state, images)
        own = {"generator": state.generator} if "own" in order else {"t": t, "noise": noise}
        loss = lib.reference["loss"].noise_prediction_loss(model, x_0, state.schedule, **own)
        group, factor = state.optimizer.param_groups[0], training.learning_rate_factor(state.step, 20)
        parts = {
            "clear": model.zero_grad,
            "backward": loss.backward,
            "clip": lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0),
            "clip_value": lambda: torch.nn.utils.clip_grad_value_(model.parameters(), 1.0),
            "rate": lambda: group.update(lr=0.1 * factor),
            "rate_again": lambda: group.update(lr=group["lr"] * factor),
            "step": state.optimizer.step,
            "average": lambda: state.ema.update(model),
        }
        for part in order.split():
            parts.get(part, int)()
        state.step += 1
        return loss.item()

    return step


# 08, fast_sampling

MILD = torch.linspace(0.05, 0.3, 9, dtype=torch.float64)  # here a step's own beta is a possible sigma^2


def guess(x, t):
    """A model's answer, a formula."""
    return 0.4 * x + 0.08 * t


def at(n, t, x=0.7):
    """x_t = 0.7, and what the model `guess` implies at t: `(x_t, x_0, noise)`."""
    noise, bar = guess(x, t), n.alpha_bars[t].item()
    return x, (x - (1 - bar) ** 0.5 * noise) / bar**0.5, noise


@piece(
    "fast_sampling",
    "predict",
    "The model's noise, in the dtype of x_t, and the x_0 it implies. With clip: clip x_0, then compute the noise anew from it (predict_noise).",
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
        compare(f"x_0 with clip={clip}", got[0], right[0], swapped | clipping)
        renewing = {
            "x_0 was clipped and the noise was not computed anew: then Eq. 4 no longer joins them to x_t": noise
        }
        compare(
            f"the noise with clip={clip}",
            got[1],
            right[1],
            renewing if clip else {"the noise was computed from a clipped x_0": renewed},
        )
    model = Recorder(lambda x, t: guess(x, t).float())
    for value in lib.predict(model, x_t, t, schedule, False):
        assert value.dtype == x_t.dtype, f"x_0 and noise must have the dtype of x_t, {x_t.dtype}: .to(x_t.dtype)"


@piece(
    "fast_sampling",
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
    compare("x_3 from x_6 at eta = 0", got[0, 0], right, mistakes)
    compare(
        "x_0 from x_6 at eta = 0",
        step(s=0)[0, 0],
        x_0,
        {"one step short: s = 0 must give x_0": n.alpha_bars[1].sqrt() * x_0},
    )
    stale = {
        "x_0 was clipped and the noise was not computed anew": then**0.5 * kept + (1 - then) ** 0.5 * noise,
        "the argument clip is not used": right,
    }
    compare("x_3 with clip", step(clip=True)[0, 0], renewed, stale)
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
        explain_moments(f"x_3 from x_6 at eta = {eta}", drawn, *moments(square, square), mistakes)
    assert torch.equal(step(1.0), step(1.0)), (
        "ddim_step differs from call to call with the same seed: pass the generator on"
    )


@piece(
    "fast_sampling",
    "ddim_encode",
    "Through the times from 0 to T, in evaluation mode: from x_t to the next s > t, ask the model at s, predict x_0 with that noise at t, and add_noise it to s. No clipping.",
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
    compare("the code of x_0", got, encode(), mistakes)
    assert not any(model.modes), "the model encodes in training mode, with its dropout on: use `with evaluating(model)`"
    with silent("ddim_encode"):
        got = lib.ddim_encode(model, schedule, x_0, 3, False, "quadratic")
    times = lib.sampling_times(schedule, 3, "quadratic")[::-1]
    compare("the code with quadratic spacing", got, encode(times=times), {"the argument spacing is not used": encode()})


@piece(
    "fast_sampling",
    "dpm_solver_step",
    "lamda = log(signal / spread). With `previous`, and for each image where s > 0 (torch.where), the target is x_0 carried on along its last change, by (lamda_s - lamda_t) / (2 (lamda_t - lamda_r)). x_s = spread_s / spread_t x_t + (signal_s - spread_s / spread_t signal_t) target.",
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
    compare("x_3 from x_6, the first step", x_s[0, 0], to(s, x_0), mistakes)
    compare("the x_0 that the step returns", kept[0, 0], x_0, {"x_s is returned in its place": to(s, x_0)})
    compare("the time that the step returns", time.flatten()[0], t, {"this is s: the prediction was made at t": s})
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
    compare("x_3 from x_6, the second step", x_s[0, 0], second(h / (2 * h_before)), mistakes)
    carried = {"the target is returned: return the prediction x_0 itself": x_0 + h / (2 * h_before) * (x_0 - old)}
    compare("the x_0 that the second step returns", kept[0, 0], x_0, carried)
    compare("the x_0 with clip", step(s, clip=True)[1][1][0, 0], min(1.0, x_0), {"the argument clip is not used": x_0})
    last = step(0, previous)[0][0, 0]
    assert torch.isfinite(last), (
        f"the step to t = 0 gives {last}: it must be of first order, the log-SNR at t = 0 is infinite, and 0 times infinity is NaN"
    )
    compare(
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


# 09, evaluation


def gaussian_features(count=300, seed=0, shift=0.0, scale=1.0):
    spread = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.5]], dtype=torch.float64)
    return scale * normal(count, 3, seed=seed) @ spread.T + shift


@piece(
    "evaluation",
    "frechet_distance",
    "|mean difference|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). The last trace is the sum of the singular values of root_a @ root_b; a root's sum of squares is tr S. covariance_root gives the roots.",
    slice(1, None),
)
def check_frechet(lib):
    a, b = gaussian_features(), gaussian_features(200, 1, 0.7, 1.5).flip(1)
    s_a, s_b = torch.cov(a.T), torch.cov(b.T)
    means = (a.mean(0) - b.mean(0)).square().sum()
    overlap = torch.linalg.eigvals(s_a @ s_b).real.clamp(min=0).sqrt().sum()
    traces = s_a.trace() + s_b.trace()
    right = means + traces - 2 * overlap
    mistakes = {
        "its square root: the squared distance is asked for": right.sqrt(),
        "the means are left out": traces - 2 * overlap,
        "the covariances are left out": means,
        "the cross term is left out": means + traces,
        "the cross term counts twice": means + traces - overlap,
        "the length of the mean difference, not its square": means.sqrt() + traces - 2 * overlap,
        "the mean of the squared differences of the means: their sum": means / 3 + traces - 2 * overlap,
        "the traces of the roots where those of the covariances belong: a root's sum of squares": means
        + lib.covariance_root(a).trace()
        + lib.covariance_root(b).trace()
        - 2 * overlap,
        "the eigenvalues' roots where the singular values of root_a @ root_b belong": means
        + traces
        - 2 * torch.linalg.eigvals(lib.covariance_root(a) @ lib.covariance_root(b)).real.clamp(min=0).sqrt().sum(),
        "the trace of the product where the trace of its root belongs": means + traces - 2 * (s_a @ s_b).trace(),
        "the root of each entry where the root of the matrix belongs": means
        + traces
        - 2 * (s_a @ s_b).clamp(min=0).sqrt().trace(),
        "the squared difference of the roots: right only where the covariances commute": means
        + (lib.covariance_root(a) - lib.covariance_root(b)).square().sum(),
    }
    got = lib.frechet_distance(a, b)
    compare("frechet_distance", got, right, mistakes, 1e-5)
    assert isinstance(got, float), f"frechet_distance must return a float, yours returns {type(got).__name__}"
    compare("the distance of a set to itself", lib.frechet_distance(a, a), 0.0, tolerance=1e-6)


@piece(
    "evaluation",
    "kernel_distance",
    "The mean kernel of different rows within a, plus that within b, minus twice the mean between a and b. kernel_sum adds the kernel over all pairs; take a row's pair with itself out.",
    slice(1, None),
)
def check_kernel_distance(lib):
    a, b = gaussian_features(60), gaussian_features(40, 1, 0.7)

    def kernel(x, y, power=3, divide=3):
        return (x @ y.T / divide + 1) ** power

    def means(x, **options):
        """The mean kernel of different rows."""
        k, n = kernel(x, x, **options), len(x)
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    def distance(inner=means, cross=2, **options):
        return inner(a, **options) + inner(b, **options) - cross * kernel(a, b, **options).mean()

    mistakes = {
        "a row's pair with itself is counted: that is biased, take the diagonal out": distance(
            lambda x: kernel(x, x).mean()
        ),
        "the mean between the sets counts once, it must count twice": distance(cross=1),
        "the mean between the sets is added: take it away": distance(cross=-2),
        "the products are not divided by D": distance(divide=1),
        "the kernel is the square, it must be the cube": distance(power=2),
        "the diagonal is taken out and N^2 still divides: there are N (N - 1) other pairs": distance(
            lambda x: means(x) * (len(x) - 1) / len(x)
        ),
        "its square root": distance().clamp(min=0).sqrt(),
        "a row's kernel with itself is not 1, it is (x . x / D + 1)^3": distance(
            lambda x: (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))
        ),
        "each pair counts twice in kernel_sum: divide by N (N - 1), not by its half": distance(lambda x: 2 * means(x)),
    }
    got = lib.kernel_distance(a, b)
    compare("kernel_distance", got, distance(), mistakes, 1e-6)
    b = gaussian_features(40, 2)  # of one law with a: here the distance is below 0
    compare(
        "kernel_distance of two sets of one law",
        lib.kernel_distance(a, b),
        distance(),
        {"it is negative here: don't clamp it": 0.0},
    )
    assert isinstance(got, float), f"kernel_distance must return a float, yours returns {type(got).__name__}"


@piece(
    "evaluation",
    "share_inside",
    "The radius of each point of the manifold is the distance to its k-th nearest neighbour (torch.cdist, kthvalue; the point itself is the nearest). A point is inside if any ball holds it.",
)
def check_share_inside(lib):
    widths = torch.tensor([0.2, 1.5]).repeat(30)[:, None]  # so that the nearest ball is often a small one
    manifold, points, k = widths * normal(60, 2), 1.6 * normal(50, 2, seed=1), 3

    def share(k=k + 1, of=manifold, how=torch.any, squared=False):
        radii = torch.cdist(of, of).kthvalue(k).values
        between = torch.cdist(points, manifold)
        inside = between <= radii if of is manifold else (between <= radii[:, None])
        return how(inside, dim=1).double().mean()

    near = torch.cdist(points, manifold).kthvalue(k, dim=1).values
    nearest, radii = torch.cdist(points, manifold).min(1), torch.cdist(manifold, manifold).kthvalue(k + 1).values
    inside = torch.cdist(points, manifold) <= radii
    mistakes = {
        "k counts the point itself: its own distance is 0, so ask kthvalue for k + 1": share(k),
        "the radius reaches to neighbour k + 1": share(k + 2),
        "the balls are drawn around `points`: they belong around the manifold": share(of=points),
        "a point must be in all balls: one is enough": share(how=torch.all),
        "the share outside": 1 - share(),
        "the radius is the largest there is: each ball has its own": (
            torch.cdist(points, manifold).amin(1) <= torch.cdist(manifold, manifold).kthvalue(k + 1).values.max()
        )
        .double()
        .mean(),
        "the share of the balls that hold a point: ask of each point, any(dim=1)": inside.any(0).double().mean(),
        "the mean over all pairs: a point is inside if any ball holds it": inside.double().mean(),
        "only the nearest ball was asked: a farther one may be larger": (nearest.values <= radii[nearest.indices])
        .double()
        .mean(),
        "a number of points: divide by how many there are": share() * 50,
        "a mean distance, not a share": near.mean(),
    }
    compare("share_inside", lib.share_inside(points, manifold, k), share(), mistakes)


@piece(
    "evaluation",
    "kl_gaussians",
    "Half of: variance ratio - 1 - its logarithm + squared mean difference over variance_2.",
    slice(1, None),
)
def check_kl(lib):
    cases = [(0.3, 0.5, -0.4, 2.0), (1.0, 3.0, 0.0, 0.7), (0.2, 1.0, 0.2, 1.0)]

    def table(formula):
        return torch.tensor([formula(*case) for case in cases], dtype=torch.float64)

    def kl(m, v, n, w, half=0.5, over=None):
        return half * (v / w - 1 - math.log(v / w) + (m - n) ** 2 / (over or w))

    mistakes = {
        "the two Gaussians are swapped: the divergence of the first from the second": table(
            lambda m, v, n, w: kl(n, w, m, v)
        ),
        "the half is missing": table(lambda *c: kl(*c, half=1)),
        "the variances are taken for standard deviations": table(lambda m, v, n, w: kl(m, v**2, n, w**2)),
        "the mean difference is divided by the first variance: by the second": table(
            lambda m, v, n, w: kl(m, v, n, w, over=v)
        ),
        "the half is missing before the mean difference": table(
            lambda m, v, n, w: kl(m, v, n, w) + (m - n) ** 2 / w / 2
        ),
        "the half is missing before the variances": table(lambda m, v, n, w: 2 * kl(m, v, n, w) - (m - n) ** 2 / w / 2),
        "the mean difference is not squared": table(
            lambda m, v, n, w: kl(m, v, n, w) + (abs(m - n) - (m - n) ** 2) / w / 2
        ),
        "the - 1 is missing": table(lambda m, v, n, w: kl(m, v, n, w) + 0.5),
        "the mean difference is divided by variance_2 squared": table(lambda m, v, n, w: kl(m, v, n, w, over=w**2)),
        "log2: nats have the natural logarithm": table(
            lambda m, v, n, w: kl(m, v, n, w) + (math.log(v / w) - math.log2(v / w)) / 2
        ),
        "bits: nats are asked for": table(lambda *c: kl(*c) / math.log(2)),
        "the logarithm is added: take it away": table(lambda m, v, n, w: kl(m, v, n, w) + math.log(v / w)),
    }
    m, v, n, w = torch.tensor(cases, dtype=torch.float64).T
    compare("kl_gaussians", lib.kl_gaussians(m, v, n, w), table(kl), mistakes)
