"""The pieces of notebook 07: their hints, and checks that name the classic mistakes."""

import inspect
import math
from contextlib import contextmanager
from unittest.mock import patch

import torch

from course.check import (
    advising,
    assert_close,
    check_tensor,
    draws_alike,
    normal,
    piece,
    reference_schedule,
    seeded,
)


@piece(
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
    assert_close("ema.updates after three updates", ema.updates, 3, counts)
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
    assert_close(
        "the average of the weights 1, 3, 10 (start 5, gamma 2)", ema.model.weight.item(), run(power), mistakes, 1e-5
    )
    assert_close("the average of the second parameter", ema.model.bias.item(), 2 * run(power), tolerance=1e-5)


@piece(
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
    assert_close("learning_rate_factor (at steps 0, 3, 50, 99 of 100, ...)", got, right, told)
    with advising(ZeroDivisionError, "a run of fewer than ten steps has a warm-up too: at least 1"):
        lib.learning_rate_factor(0, 1)


@piece(
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
    "train_step",
    "The loss within mixed_precision(model, settings['precision']); clear the old gradients; backward; clip their norm to 1; a FloatingPointError that names the loss or the gradient where it is not finite; set the learning rate; step the optimiser; update the average; count the step; keep and return the loss. mean_over_processes of the loss and the norm, stacked, makes floats of both, with one wait for the device.",
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
    assert_close(
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
    with watched_loss(lib) as handed:
        trained(lib, lib.train_step, 1)
    assert None not in handed, "new times and noise are drawn: hand those of draw_batch to the loss"
    right, expected = trained(lib, reference)
    state, returned = trained(lib, lib.train_step)
    plain = {
        "the gradients of all steps pile up: clear them first, optimizer.zero_grad()": "backward clip rate step",
        "the gradient is clipped after the step: clip it before": "clear backward rate step",
        "the gradient is clipped by value: clip its norm, clip_grad_norm_": "clear backward clip_value rate step",
        "the learning rate is set after the optimiser's step: set it before": "clear backward clip step rate",
        "the last step's rate is multiplied by the factor: multiply settings['learning_rate']": "clear backward clip rate_again step",
    }
    weights = {mistake: trained(lib, plain_step(lib, order))[0].model.weight for mistake, order in plain.items()}
    assert_close("the weights after six steps", state.model.weight, right.model.weight, weights, 1e-4)
    early = trained(lib, plain_step(lib, "clear backward clip rate average step"))[0].ema.model.weight
    early = {"the average is taken before the optimiser's step: take it after": early}
    assert_close("the averaged weights", state.ema.model.weight, right.ema.model.weight, early, 1e-4)
    assert_close("the losses returned", returned, expected, tolerance=1e-4)
    floats = [loss for loss in state.losses if isinstance(loss, float)]
    assert floats == returned, "state.losses must hold the losses that are returned, as floats"
    for what in ("loss", "gradient"):
        check_stop(lib, trained(lib, reference, 1)[0], what)
    sevens = {"mean_over_processes": lambda values: torch.full_like(torch.as_tensor(values), 7.0).tolist()}
    with patch.dict(inspect.unwrap(lib.train_step).__globals__, sevens):
        _, returned = trained(lib, lib.train_step, 1)
    assert returned == [7.0], "this is the loss of one process among several: keep and return mean_over_processes(loss)"


@contextmanager
def watched_loss(lib):
    """Collect the times and the noise that train_step hands to the loss; None stands for what it does not hand on."""
    handed = []

    def loss(model, x_0, schedule, t=None, noise=None, generator=None):
        handed.extend([t, noise])
        return lib.reference["loss"].noise_prediction_loss(model, x_0, schedule, t, noise, generator)

    with patch.dict(inspect.unwrap(lib.train_step).__globals__, noise_prediction_loss=loss):
        yield handed


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
        loss = lib.reference["loss"].noise_prediction_loss(model, x_0, state.schedule, t, noise)
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
            parts[part]()
        state.step += 1
        return loss.item()

    return step
