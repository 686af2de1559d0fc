"""The patients of notebook 10: twelve classic mistakes, each in code that is otherwise healthy, and the healthy code itself.

The sick samplers run in the notebook. The models take minutes to train: `benchmarks/10_bug_clinic.py` does it, with the code below,
and keeps their weights. The notebook shows every mistake as the lines in which a sick function differs from the healthy one.
"""

import json
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn import functional as F
from torch.nn.utils import vector_to_parameters

from course.lessons import RESULTS
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
