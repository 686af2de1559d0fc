"""The patients of notebook 10: twelve classic mistakes, each in code that is otherwise healthy, and the healthy code itself; and how the exercises are tried.

The sick samplers run in the notebook. The models take minutes to train: `benchmarks/10_bug_clinic.py` does it, with the code below,
and keeps their weights. The notebook shows every mistake as the lines in which a sick function differs from the healthy one.
"""

import ast
import json
import warnings
from itertools import combinations, pairwise
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn import functional as F
from torch.nn.utils import vector_to_parameters

from course.check import Checks, as_numbers, plain, solutions
from course.lessons import RESULTS, ROOT
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.unet import UNet

TRAINED = RESULTS / "10_bug_clinic.safetensors"


# The samplers. Each walks from x_T = x through `times` (from T down to 0) and yields (s, x_s) for every step that it takes.


def healthy_sampler(model, schedule, x, times, generator):
    """Algorithm 2 on a shortened list of times: the posterior (Eq. 6, 7) of the long step from t to s."""
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha)
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def sampler_1(model, schedule, x, times, generator):
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha) if s > 0 else 1 - alpha  # beta-tilde is 0 there: take beta
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def sampler_2(model, schedule, x, times, generator):
    for t, s in pairwise(times[:-1]):  # as `range(T, 1, -1)` does
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha)
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def sampler_3(model, schedule, x, times, generator):
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(0, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha)
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def sampler_5(model, schedule, x, times, generator):
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        x = weight_x_0.float() * x_0 + weight_x.float() * x
        yield s, x


def sampler_6(model, schedule, x, times, generator):
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = now.sqrt() * (1 - then) / (1 - now)  # one bar too many
        variance = (1 - then) / (1 - now) * (1 - alpha)
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def sampler_7(model, schedule, x, times, generator):
    for k, (t, s) in enumerate(pairwise(times)):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, len(times) - 1 - k)).clamp(-1, 1)  # 25, 24, ..., 1
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha)
        z = torch.randn(x.shape, generator=generator)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * z
        yield s, x


def healthy_solver(model, schedule, x, times, generator):
    """DPM-Solver++ (2M), as in notebook 08. It draws no noise."""
    clock, before = 0.5 * schedule.snr.log(), None  # half the log-SNR; infinite at t = 0
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        x_0 = target = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        if before is not None and s > 0:
            reach = (clock[s] - clock[t]) / (2 * (clock[t] - clock[before[0]]))
            target = x_0 + reach.float() * (x_0 - before[1])
        shrink = ((1 - then) / (1 - now)).sqrt()
        x = shrink.float() * x + (then.sqrt() - shrink * now.sqrt()).float() * target
        before = t, x_0
        yield s, x


def sampler_12(model, schedule, x, times, generator):
    clock, before = 0.5 * schedule.snr.log(), None  # half the log-SNR; infinite at t = 0
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        x_0 = target = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        if before is not None:
            reach = (clock[s] - clock[t]) / (2 * (clock[t] - clock[before[0]]))
            target = x_0 + reach.float() * (x_0 - before[1])
        shrink = ((1 - then) / (1 - now)).sqrt()
        x = shrink.float() * x + (then.sqrt() - shrink * now.sqrt()).float() * target
        before = t, x_0
        yield s, x


def sampler_13(model, schedule, x, times, generator):
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        noise = schedule.predict_noise(x, t, x_0)
        variance = (1 - then) / (1 - now) * schedule.betas[t]  # should be 1 - now / then
        z = torch.randn(x.shape, generator=generator)
        x = then.sqrt().float() * x_0 + (1 - then - variance).sqrt().float() * noise + variance.sqrt().float() * z
        yield s, x


# The parts of a training: pixels in, a schedule, a loss, an average of the weights.


def healthy_pixels(pixels):
    """Bytes `(N, 1, 28, 28)`, 0..255, as the images that the model learns from."""
    return pixels.float() / 127.5 - 1


def pixels_4(pixels):
    return pixels.float() / 255  # as ToTensor does


def healthy_schedule(T):
    """The schedule for a chain of T steps."""
    return NoiseSchedule(linear_betas(T))


def schedule_11(T):
    return NoiseSchedule(torch.linspace(1e-4, 0.02, T))


def healthy_loss(model, x_0, schedule, generator):
    """Lines 3 to 5 of Algorithm 1: the simple loss on a batch `x_0`."""
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    noise = torch.randn(x_0.shape, generator=generator)
    alpha_bar = schedule.alphas.cumprod(0)[t].float().reshape(-1, 1, 1, 1)
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    return F.mse_loss(model(x_t, t), noise)


def loss_9(model, x_0, schedule, generator):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    noise = torch.randn(x_0.shape, generator=generator)
    alpha_bar = schedule.alphas.prod().float().reshape(-1, 1, 1, 1)  # the product over all steps
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    return F.mse_loss(model(x_t, t), noise)


def loss_10(model, x_0, schedule, generator):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    noise = torch.randn(x_0.shape, generator=generator)
    alpha_bar = schedule.alphas.cumprod(0)[t].float().reshape(-1, 1, 1, 1)
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    return F.mse_loss(model(x_t, t[0]), noise)  # the first t, for the whole batch


def healthy_average(average, weights, k):
    """Take the weights after step k = 1, 2, ... into their running average (in place), as `EMA` of notebook 07 does."""
    average.lerp_(weights, 1 - (1 - 1 / k) ** 7.94)


def average_8(average, weights, k):
    average.lerp_(weights, 1 - 0.9999)  # the paper's decay, whose run has 800,000 steps


# What each patient has, and what cures it.

DISEASES = {  # number: (disease, cure)
    1: (
        "Noise is added in the step that lands on t = 0.",
        "no noise in the last step: `if s > 0`, or a variance that is 0 there",
    ),
    2: ("The loop ends one step early, and hands over x at t > 0.", "let the list of times end in 0"),
    3: (
        "The sampler clamps x_0 to [0, 1]; the network was trained on [-1, 1].",
        "clamp to the range of the training pictures",
    ),
    4: (
        "The network was trained on pictures in [0, 1].",
        "train on [-1, 1], and look at the smallest pixel of a batch first",
    ),
    5: (
        "No noise is added in the steps, though the mean is the one of Algorithm 2.",
        "add it, or use DDIM's mean (notebook 08)",
    ),
    6: ("One bar too many in the posterior: alpha_bar for alpha in the weight of x_t.", "the alpha of this one step"),
    7: (
        "The network is told the number of the step, not the t of the schedule.",
        "hand it the t that it was trained with",
    ),
    8: (
        "The averaged weights still remember the network's random start.",
        "a decay that fits the length of the run (notebook 07)",
    ),
    9: ("The product over all steps in place of the product up to t.", "`cumprod(0)[t]`"),
    10: ("The network is told the first t of the batch, whatever the t of the picture.", "pass it the whole tensor t"),
    11: ("A short schedule with the betas of a long one.", "`linear_betas(T)`, whose betas grow as 1 / T"),
    12: ("A step of second order into t = 0, where the log-SNR is infinite.", "first order in the last step"),
    13: (
        "The noise of a step of length 1 in a step that is longer.",
        "1 - alpha_bar_t / alpha_bar_s in place of beta_t",
    ),
}
HEALTHY = dict(pixels=healthy_pixels, schedule=healthy_schedule, loss=healthy_loss, average=healthy_average)
TRAINERS = {
    "healthy": {},
    "patient 4": dict(pixels=pixels_4),
    "patient 8": dict(average=average_8),
    "patient 9": dict(loss=loss_9),
    "patient 10": dict(loss=loss_10),
    "patient 11": dict(schedule=schedule_11),
}


def read_results(path=TRAINED):
    """`(tensors, notes)` of the results file, `({}, {})` if there is none."""
    if not Path(path).exists():
        return {}, {}
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())


def load_trained(name, path=TRAINED):
    """One trained model of the results: `(model, schedule, losses)`, the losses one a step."""
    tensors, notes = read_results(path)
    model = UNet(**json.loads(notes["model"])).requires_grad_(False).eval()
    vector_to_parameters(tensors[f"{name}.weights"].float(), model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NoiseSchedule warns of patient 11
        return model, NoiseSchedule(tensors[f"{name}.betas"]), tensors[f"{name}.losses"].float()


# How the exercises are tried, and which mistakes are known.

checks = Checks()


@checks.exercise(1)
def _(answer, page):
    lengths = 50, 200
    return {f"the signal left of 1000-step betas in {T} steps": as_numbers(answer(torch.linspace(1e-4, 0.02, T, dtype=torch.float64))) for T in lengths}


BAR = "(1 - betas).prod()"
checks.mistakes(1, [
    (".sqrt()", "", "this is alpha_bar_T, the share of the variance; the amplitude is its root"),
    (BAR, f"(1 - {BAR})", "this is the amplitude of the noise, the root of 1 - alpha_bar_T"),
    (".prod()", ".cumprod(0)", "this is one value for each t; only the last is asked for"),
    (BAR, "(1 - betas[-1])", "this is what the last step alone keeps; the steps before it take their share too"),
    (BAR, "betas.prod()", "this is the product of the betas; what each step keeps is 1 - beta"),
    (f"{BAR}.sqrt()", "(1 - betas.sqrt()).prod()", "you multiplied 1 - sqrt(beta); a step keeps sqrt(1 - beta) of the amplitude"),
])  # fmt: skip


@checks.exercise(2, 1e-4)
def _(answer, page):
    few = NoiseSchedule(linear_betas(60))
    oracle = page.GaussianMixtureDenoiser(page.MEANS, page.STDS, page.WEIGHTS, few)
    x_T, times = torch.randn(50, 1, generator=torch.Generator().manual_seed(6)), list(range(60, -1, -5))
    got = torch.as_tensor(answer(oracle, few, x_T.clone(), times, torch.Generator().manual_seed(7)))
    finite = torch.isfinite(got).float().mean()
    assert got.shape == x_T.shape and finite == 1, f"x has shape {tuple(got.shape)}, {finite:.0%} of it finite; x_T has shape {tuple(x_T.shape)}"
    assert not torch.equal(got, x_T), "this is x_T again: the loop changed nothing"
    return {"the points at t = 0": got}


DRAW = "torch.randn(x.shape, generator=generator)"
checks.mistakes(2, [
    (DRAW, "torch.zeros_like(x)", "no noise is added in the steps"),
    (DRAW, "torch.randn(x.shape)", "every step draws torch.randn(x.shape, generator=generator) once"),
])  # fmt: skip
ILLS = [
    ("times[:-1], times[1:]", "times[:-2], times[1:-1]", "it still ends one step early: the last pair of times must end in 0"),
    ("clamp(-1, 1)", "clamp(0, 1)", "x_0 is still clamped to [0, 1]"),
    ("weight_x = alpha", "weight_x = now", "one bar too many is still in the weight of x"),
    ("variance.sqrt()", "variance", "the noise is still multiplied by the variance in place of its root"),
]  # fmt: skip
CURED = plain(ast.parse(solutions(ROOT / "notebooks" / "10_bug_clinic.ipynb")["exercise_2"]).body[0])
for some in (some for count in (1, 2, 3, 4) for some in combinations(ILLS, count)):  # every set of the four diseases
    sick = CURED
    for old, new, _ in some:
        assert sick.count(old) == 1
        sick = sick.replace(old, new)
    checks.mistakes(2, [(None, sick, "; ".join(says for *_, says in some))])


@checks.exercise(3)
def _(answer, page):
    wrong, signs = [], page.signs_again
    for n in (0, *page.order):
        got = answer(dict(signs[n]), dict(signs[page.control_of[n]]))
        assert isinstance(got, int) and 0 <= got <= 12, f"return a number from 0 to 12, got {got!r}"
        if got != n:
            best = page.apart(got, n, signs)[0]
            seen = f"{signs[n][best]:.2f}, not {signs[got][best]:.2f}"
            wrong.append(f"{f'patient {n}' if n else 'a healthy one'} was taken for {got or 'healthy'}; look at {best!r}: {seen}")
    assert not wrong, f"{13 - len(wrong)} of 13 right. " + ". ".join(wrong)


checks.mistakes(3, [
    (None, "def exercise_3(signs, control):\n    return 0", "patient 12 was taken for healthy"),
    (None, "def exercise_3(signs, control):\n    return 1 if signs['grain'] > 0.08 else 0", "patient 2 was taken for 1; look at 'last t'"),
    ("return 12", "return 'NaN in the last step'", "return a number from 0 to 12"),
    ("    if signs['last t'] > 1.5 * control['last t']:\n        return 2\n", "", "12 of 13 right. patient 2 was taken for 1; look at 'last t'"),
    ("5 if signs['repeat'] < 0.01 else 6", "5", "12 of 13 right. patient 6 was taken for 5"),
    ("3 if signs['black'] > -0.5 else 0", "0", "12 of 13 right. patient 3 was taken for healthy"),
])  # fmt: skip
