"""How the pieces and exercises of notebook 07 are tried, and which mistakes are known."""

import math
from unittest.mock import patch

import torch

from course.check import BETAS, Checks, kind, moments, normal, seeded, twice

checks = Checks()


class Weights(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([value]))
        self.bias = torch.nn.Parameter(torch.tensor([2 * value]))


@checks.piece("EMA.update", "Count the update; kept = (1 - 1/k)^(gamma + 1); each averaged parameter becomes kept times itself plus (1 - kept) times the model's.", 1e-5)
def _(lib):
    ema, models = lib.EMA(Weights(5.0), gamma=2), [Weights(value) for value in (1.0, 3.0, 10.0)]
    for model in models:
        ema.update(model)
    found = {"the model's own weights, after three updates": [model.weight.item() for model in models], "ema.updates": ema.updates}
    found["the average of the weights 1, 3, 10 (start 5, gamma 2)"] = ema.model.weight.item()
    return found | {"the average of the second parameter": ema.model.bias.item()}


COUNT, KEPT = "    self.updates += 1\n", "(1 - 1 / self.updates) ** (self.gamma + 1)"
LOOP, MIX = "    for average, current in zip(self.model.parameters(), model.parameters(), strict=True):\n", "average.lerp_(current, 1 - kept)"
checks.mistakes("EMA.update", [
    (MIX, "current.lerp_(average, kept)", "the model's own weights were changed: only ema.model changes"),
    (COUNT, "", "k counts from 1: self.updates += 1 comes first"),
    (f"{COUNT}    kept = {KEPT}", "    kept = (1 - 1 / (self.updates + 1)) ** (self.gamma + 1)", "not counted: self.updates += 1"),
    (f"{COUNT}    kept = {KEPT}\n{LOOP}", f"{LOOP}    {COUNT}        kept = {KEPT}\n", "counted for every parameter: count once in an update"),
    (MIX, "average.lerp(current, 1 - kept)", "the average never moves"),
    (MIX, "average.copy_(current)", "this is a copy of the last weights, no average"),
    (MIX, "average.lerp_(current, kept)", "the decay is swapped: the old average keeps `kept`, the new weights get 1 - kept"),
    (MIX, "average.add_((1 - kept) * current)", "the new weights are added and the old average keeps all: multiply it by `kept`"),
    ("(self.gamma + 1)", "self.gamma", "gamma where gamma + 1 belongs in the exponent"),
    ("1 / self.updates", "1 / (self.updates + 1)", "k is off by one: the first update has k = 1, and forgets the start"),
    (" ** (self.gamma + 1)", "", "the plain mean of all weights"),
    (KEPT, "0.999", "a constant decay of 0.999, not kept = (1 - 1/k)^(gamma + 1)"),
    (KEPT, "0.9999", "a constant decay of 0.9999, not kept = (1 - 1/k)^(gamma + 1)"),
    (KEPT, "1 - (1 / self.updates) ** (self.gamma + 1)", "1 - (1/k)^(gamma + 1) where (1 - 1/k)^(gamma + 1) belongs"),
    (" ** (self", " * (self", "times gamma + 1, it is an exponent"),
])  # fmt: skip


@checks.piece("learning_rate_factor", "The warm-up lasts a tenth of the steps, at most 200, at least 1; it rises as (step + 1) / warm_up. Times half a cosine from 1 to 0.")
def _(lib):
    cases = [(step, steps) for steps in (100, 6000) for step in (0, 3, 50, 99)] + [(300, 6000), (5000, 6000), (0, 1)]
    return {f"the factor at step {step} of {steps}": lib.learning_rate_factor(step, steps) for step, steps in cases}


WARM_UP, RISE, FALL = "max(1, min(steps // 10, 200))", "min(1, (step + 1) / warm_up)", "0.5 * (1 + math.cos(math.pi * step / steps))"
AFTER = "(step + 1) / warm_up if step < warm_up else "
checks.mistakes("learning_rate_factor", [
    (f"{RISE} * ", "", "no warm-up"),
    (f" * {FALL}", "", "no cosine"),
    ("(step + 1) /", "step /", "the warm-up starts at 0, so the first step does nothing: (step + 1) / warm_up"),
    (f"{RISE} * {FALL}", AFTER + FALL.replace("step / steps", "(step - warm_up) / (steps - warm_up)"), "the cosine begins after the warm-up: it falls from step 0 on, over all steps"),
    (f"{RISE} * {FALL}", AFTER + FALL, "the cosine is left out during the warm-up: multiply the two at every step"),
    (RISE, "(step + 1) / warm_up", "the rise goes on above 1: min(1, ...)"),
    ("math.pi * step", "2 * math.pi * step", "a whole turn of the cosine, which comes back up: half a turn"),
    ("math.pi * step", "math.pi / 2 * step", "half of that turn: the cosine must reach pi, where the factor is 0"),
    (FALL, "math.cos(math.pi / 2 * step / steps)", "a quarter turn, cos from 0 to pi / 2: 0.5 (1 + cos) from 0 to pi"),
    (FALL, "math.cos(math.pi * step / steps)", "a cosine from 1 to -1, which ends in a negative rate: 0.5 (1 + cos)"),
    ("1 + math", "1 - math", "the cosine rises from 0 to 1: 1 + cos, not 1 - cos"),
    ("math.pi * step", "math.pi * (step + 1)", "step + 1 belongs in the warm-up alone"),
    (WARM_UP, "max(1, steps // 10)", "the warm-up is not capped at 200 steps"),
    (WARM_UP, "200", "the warm-up takes 200 steps in every run: a tenth of the steps, at most 200"),
    (WARM_UP, "max(steps // 10, 200)", "the warm-up takes at least 200 steps, max for min"),
    (WARM_UP, "min(steps // 10, 200)", "a run of fewer than ten steps has a warm-up too: at least 1"),
])  # fmt: skip


@checks.piece("stratified_times", "Slice k reaches from k T / count to (k + 1) T / count. Draw one place within each (torch.rand), round down, and add 1.")
def _(lib):
    def drawn(count):
        return torch.stack([torch.as_tensor(lib.stratified_times(count, 100, seeded(k))) for k in range(2000)])

    once, times, uneven = lib.stratified_times(10, 100, seeded()), drawn(10), drawn(16)
    slices, within = (times - 1) // 10, (times - 1) % 10
    found = {"what it returns": kind(once), "its shape for a count of 10": str(tuple(times.shape[1:]))}
    found |= {"with one seed, twice": twice(lambda: lib.stratified_times(50, 1000, seeded())), "the least and the largest of many times for T = 100": [times.min(), times.max()]}
    found |= {f"the slice of time {k} of ten, from 0 to 9": moments(slices[:, k]) for k in (0, 4, 9)}
    found |= {"the place within a slice, from 0 to 9": moments(within), "how far two such places differ": moments(within[:, 0] - within[:, 1])}
    return found | {"how many different times come with 16 slices of 1..100": len(uneven.unique()), "these times": moments(uneven)}


PLACES = "(torch.arange(count) + within) * T / count"
TIMES = f"1 + ({PLACES}).long().clamp(max=T - 1)"
checks.mistakes("stratified_times", [
    (TIMES, f"({TIMES}).tolist()", "it must return a tensor, not a list"),
    (".long()", ".floor()", "the times must be int64: .long()"),
    (", generator=generator", "", "the times do not follow the seed: hand `generator` on to torch.rand"),
    ("1 + (", "(", "t = 0 comes: the times run from 1 to T, add 1"),
    (TIMES, "torch.randint(1, T + 1, (count,), generator=generator)", "the times are independent: draw one from each of the equal slices of 1..T"),
    (TIMES, f"({TIMES}).flip(0)", "there must be one time from each slice, rising: 1..10, 11..20, ..., for count = 10, T = 100"),
    ("arange(count) + within", "arange(count) + 0.5", "always the same times: draw a random place within each slice"),
    ("rand(count", "rand(1", "all slices share one random number: draw one for each slice"),
    ("* T / count", "* (T // count)", "with 16 slices of 1..100 some times never come: T / count is no whole number, don't round it"),
])  # fmt: skip


class Loud(torch.nn.Module):
    """A little network with a large gradient."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[3.0, 1.0], [-2.0, 0.5]]))

    def forward(self, x_t, t):
        return 10 * x_t @ self.weight


@checks.piece(
    "train_step",
    "The loss within mixed_precision(model, settings['precision']); clear the old gradients; backward; clip their norm to 1; "
    "a FloatingPointError that names the loss or the gradient where it is not finite; set the learning rate; step the optimiser; "
    "update the average; count the step; keep and return the loss. mean_over_processes of the loss and the norm, stacked, "
    "makes floats of both, with one wait for the device.",
    1e-4,
)
def _(lib):
    images = normal(16, 2).float().clamp(-1, 1)

    def new(**settings):
        return lib.TrainingState(Loud().eval(), lib.NoiseSchedule(BETAS), steps=20, batch_size=4, learning_rate=0.1, **settings)

    def stop(state):
        try:
            lib.train_step(state, images)
        except FloatingPointError as error:
            named = [what for what in ("loss", "gradient") if what in str(error)]
            return f"a FloatingPointError that names {named} {'before' if torch.equal(state.model.weight, Loud().weight) else 'after'} a weight changes"
        return "no error"

    state = new()
    loss = lib.train_step(state, images)
    found = {"what train_step returns": kind(loss), "the weights, after one step": "the same" if torch.equal(state.model.weight, Loud().weight) else "others"}
    found |= {"state.step": state.step, "the number of state.losses": len(state.losses), "state.ema.updates": state.ema.updates}
    found |= {"the learning rate of the first step": state.optimizer.param_groups[0]["lr"], "the first loss, twice": twice(lambda: lib.train_step(new(), images)), "the first loss": float(loss)}
    returned = [float(loss)] + [float(lib.train_step(state, images)) for _ in range(5)]
    found |= {"the weights after six steps": state.model.weight, "the averaged weights": state.ema.model.weight, "the losses returned": returned}
    found |= {"state.losses holds": str([kind(loss) for loss in state.losses]), "state.losses": [float(loss) for loss in state.losses]}
    infinite, steep = new(), new()
    infinite.model.forward = lambda x_t, t: x_t @ infinite.model.weight * math.inf
    steep.model.weight.register_hook(lambda gradient: gradient / 0)
    found |= {"with a loss that is not finite": stop(infinite), "with a gradient that is not finite": stop(steep)}
    with patch.dict(lib.train_step.__globals__, mean_over_processes=lambda values: torch.full_like(torch.as_tensor(values), 7.0).tolist()):
        found["the loss where mean_over_processes gives 7"] = lib.train_step(new(), images)
    return found | {"the first loss in bfloat16": lib.train_step(new(precision="bfloat16"), images)}


CLIP, MEAN = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)", "mean_over_processes(torch.stack([loss.detach(), norm]))"
RATE = "for group in state.optimizer.param_groups:\n        group['lr'] = settings['learning_rate'] * learning_rate_factor(state.step, settings['steps'])"
STEP, AVERAGE = "state.optimizer.step()", "state.ema.update(model)"
checks.mistakes("train_step", [
    ("return loss", "return torch.tensor(loss)", "train_step must return the loss as a float: .item()"),
    (f"    {STEP}\n", "", "the weights have not changed: optimizer.zero_grad(), loss.backward(), optimizer.step(), in this order"),
    ("    state.step += 1\n", "", "count the step: state.step += 1"),
    ("    state.losses.append(loss)\n", "", "keep the loss: state.losses.append(loss)"),
    (f"    {AVERAGE}\n", "", "the average was updated 0 times in one step: state.ema.update(model)"),
    (RATE, "pass", "the schedule of the rate is not used"),
    ("settings['learning_rate'] * learning", "learning", "the factor alone: multiply it by settings['learning_rate']"),
    ("factor(state.step", "factor(state.step + 1", "the step is counted too early: the first step has state.step = 0"),
    (", t, noise)", ")", "new times and noise are drawn: hand those of draw_batch to the loss"),
    ("    state.optimizer.zero_grad()\n", "", "the gradients of all steps pile up: clear them first, optimizer.zero_grad()"),
    (CLIP, CLIP.replace("1.0", "math.inf"), "the gradient is not clipped, or the gradient is clipped after the step: clip it before, clip_grad_norm_"),
    (CLIP, f"torch.zeros(())\n    {CLIP.replace('norm_', 'value_')}", "the gradient is clipped by value: clip its norm, clip_grad_norm_"),
    (f"{RATE}\n    {STEP}", f"{STEP}\n    {RATE}", "the learning rate is set after the optimiser's step: set it before"),
    ("settings['learning_rate'] *", "group['lr'] *", "the last step's rate is multiplied by the factor: multiply settings['learning_rate']"),
    (f"{STEP}\n    {AVERAGE}", f"{AVERAGE}\n    {STEP}", "the average is taken before the optimiser's step: take it after"),
    ("append(loss)", "append(torch.tensor(loss))", "state.losses must hold the losses that are returned, as floats"),
    ("('loss', loss), ('gradient', norm)", "('gradient', norm),", "the FloatingPointError must name the loss, which is not finite"),
    ("('loss', loss), ('gradient', norm)", "('loss', loss),", "a gradient that is not finite must raise FloatingPointError"),
    (MEAN, "(loss.item(), norm.item())", "this is the loss of one process among several: keep and return mean_over_processes(loss)"),
    ("mixed_precision(model, settings['precision'])", "nullcontext()", "the precision of the settings is not used: mixed_precision(model, settings['precision'])"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    cases = ((0.9999, 0.01), (0.999, 0.05), (0.99, 0.2))
    return {f"the updates for decay {decay} and share {share}": float(answer(decay, share)) for decay, share in cases}


RIGHT = "math.ceil(math.log(share) / math.log(decay))"
checks.mistakes(1, [
    (RIGHT, RIGHT[10:-1], "a number of updates is an integer: round up"),
    ("ceil", "floor", "one update too early, the share is still larger: round up, not down"),
    (RIGHT, "round(1 / (1 - decay))", "there the share is down to 1/e: solve decay**n = share for n instead"),
    ("log(share)", "log(1 - share)", "the start's share falls TO `share`, not BY it: use log(share)"),
])  # fmt: skip


@checks.exercise(2, 1e-4)
def _(answer, page):
    model, generator, found = page.small_unet().cpu(), seeded(), {}
    weights = [parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator)).clone() for parameter in model.parameters()]  # away from the zeros at the start
    for count in (6, 7):
        x_0, t = page.small[:count, :, :8, :8], torch.randint(1, page.schedule.T + 1, (count,), generator=generator)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        loss = answer(model, x_0, page.schedule, t, torch.randn(x_0.shape, generator=generator), 3)
        same_weights = all(torch.equal(*pair) for pair in zip(weights, model.parameters(), strict=True))
        gradient = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])
        found |= {"the weights, afterwards": "the same" if same_weights else "others", f"the gradient of {count} images in 3 pieces": gradient}
        found[f"the loss of all {count} images"] = float(loss)
    return found


WHOLE = "def exercise_2(model, x_0, schedule, t, noise, parts):\n    return noise_prediction_loss(model, x_0, schedule, t, noise).item()"
checks.mistakes(2, [
    (None, WHOLE, "nothing was gathered: call backward() on the loss of every piece"),
    ("        loss.backward()\n", "", "nothing was gathered: call backward() on the loss of every piece"),
    ("return total", "torch.optim.SGD(model.parameters(), lr=0.1).step()\n    return total", "the weights have changed: gather the gradient, take no optimiser step"),
    ("    model.zero_grad()\n", "", "the gradient from before was added: clear it once, before the first piece"),
    ("        loss = ", "        model.zero_grad()\n        loss = ", "only the last piece is left: clear the gradient once, not before every piece"),
    (" * len(x) / len(x_0)", "", "the pieces' mean losses were summed: each counts by its share of the batch"),
    (" * len(x) / len(x_0)", " / parts", "pieces of unequal size count alike: weigh each by len(piece) / len(x_0)"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    ratios = []
    for steps, seed in ((1000, 0), (3000, 1)):
        weights = page.noisy_run(steps, seed)
        got, of_ones = answer(weights.clone()), answer(torch.ones_like(weights))
        shape = tuple(getattr(got, "shape", ()))
        assert shape == (200,), f"return one tensor of shape (200,), got {shape}"
        assert (of_ones - 1).abs().max() < 1e-3, f"the weights of your average sum to {of_ones.mean():.3g}, not to 1"
        assert (weights - got).norm(dim=1).min() > 0, "that is one step's weights, not an average: the jitter is all in there"
        assert (got - weights.mean(0)).norm() > 1e-3, "the plain mean over the whole run still remembers the start: give early steps less weight"
        ratios.append((got.norm() / weights[-1].norm()).item())
    measured = f"{sum(ratios) / 2:.2f} times the distance of the last weights"
    assert sum(ratios) / 2 < 1, f"{measured}: your average remembers too much of the start"
    assert sum(ratios) / 2 < 0.65, f"{measured}: average over more steps, the jitter is still there"


ANSWER = "return average"
FIXED = "def exercise_3(weights):\n    average = weights[0]\n    for current in weights:\n        average = 0.999 * average + 0.001 * current\n    return average"
checks.mistakes(3, [
    (ANSWER, "return weights.mean(0)", "the plain mean over the whole run"),
    (ANSWER, "return weights[-1]", "that is one step's weights"),
    (ANSWER, "return weights[-10:].mean(0)", "average over more steps"),
    (None, FIXED, "remembers too much of the start"),
    (ANSWER, "return 0.5 * average", "sum to 0.5, not to 1"),
])  # fmt: skip
