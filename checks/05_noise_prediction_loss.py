"""The pieces of notebook 05: their hints, and checks that name the classic mistakes."""

import math

import torch
from torch.nn import functional as F

from course.check import (
    Recorder,
    assert_close,
    assert_moments,
    check_refused,
    column,
    draws_alike,
    made_of,
    normal,
    piece,
    reference_schedule,
    same,
    seeded,
)


@piece(
    "noise_prediction_loss",
    "Where t is None draw one for each image, 1..T; schedule.check(t, 1, x_0=x_0) refuses a given t = 0. Where noise is None draw it (noise_like). Then the mean squared error of model(x_t, t), with t as time_of_each(t, x_0) lays it out.",
    slice(1, None),
)
def check_loss(lib):
    schedule, t = reference_schedule(lib), torch.tensor([1, 4, 8])
    x_0, noise = normal(3, 2), normal(3, 2, seed=1)

    def formula(x, t):
        return 0.3 * x + 0.1 * t

    x_t, time = schedule.add_noise(x_0, t, noise), column(t)
    error = formula(x_t, time) - noise
    mistakes = {
        "the sum of the squares: take their mean": error.square().sum(),
        "the sum over an image and the mean over the images: take the mean of all": error.square().sum(1).mean(),
        "the mean absolute error (L1) where the squared error belongs": error.abs().mean(),
        "the Huber loss where the squared error belongs: Eq. 14 is a mean square": F.smooth_l1_loss(error, 0 * error),
        "half the mean square": error.square().mean() / 2,
        "the square root of the mean square": error.square().mean().sqrt(),
        "the answer is compared with x_0: the network predicts the noise": (formula(x_t, time) - x_0).square().mean(),
        "the answer is compared with x_t: the network predicts the noise": (formula(x_t, time) - x_t).square().mean(),
        "the model sees the clean x_0: it must see x_t": (formula(x_0, time) - noise).square().mean(),
        "the model sees the noise: it must see x_t": (formula(noise, time) - noise).square().mean(),
        "the model sees t - 1: it must see the t that made x_t": (formula(x_t, time - 1) - noise).square().mean(),
        "one loss for each image: return their mean": error.square().mean(1),
        "the errors of the implied x_0: compare the noises": (schedule.predict_x_0(x_t, t, formula(x_t, time)) - x_0)
        .square()
        .mean(),
    }
    got = lib.noise_prediction_loss(Recorder(formula), x_0, schedule, t, noise)
    again = lib.noise_prediction_loss(Recorder(formula), x_0, schedule, t, noise)
    assert got is not None, "noise_prediction_loss returns None: is there a return?"
    assert same(got, again, 1e-9), "with t and noise given the loss differs from call to call: draw only what is None"
    assert_close("the loss", got, error.square().mean(), mistakes)
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    got = lib.noise_prediction_loss(Recorder(lambda x, t: weight * x), x_0, schedule, t, noise)
    assert torch.is_tensor(got) and got.requires_grad, (
        "no gradient leads from the loss to the model: return the tensor as it is"
    )
    check_drawn_times(lib, schedule)
    check_refused(
        "a given t = 0 must be refused, there is no noise to predict: schedule.check(t, 1, x_0=x_0)",
        lambda: lib.noise_prediction_loss(Recorder(formula), x_0, schedule, 0, noise),
    )


def check_drawn_times(lib, schedule):
    """t and noise that the loss draws by itself."""
    model = Recorder(lambda x, t: x)
    lib.noise_prediction_loss(model, torch.zeros(20_000, 1), schedule, generator=seeded())
    t = torch.tensor(model.times[0])
    assert t.numel() == 20_000, f"{t.numel()} time(s) drawn for 20,000 images: each image needs a t of its own"
    assert t.min() > 0, "t = 0 is drawn, a clean image with nothing to predict: t runs from 1 to T"
    assert t.max() == 9, f"t = T = 9 is never drawn, the largest is {int(t.max())}: randint leaves its upper end out"
    counts = torch.bincount(t.long(), minlength=10)[1:]
    assert counts.min() > 20_000 / 9 * 0.85, (
        f"t must be uniform in 1..T, but t = {int(counts.argmin()) + 1} came {int(counts.min())} times in 20,000"
    )
    noise = model.inputs[0][:, 0] / (1 - schedule.alpha_bars[t.long()]).sqrt()
    assert noise.std() > 1e-3 or noise.mean().abs() < 1e-3, "one noise for all images: each needs noise of its own"
    mistakes = {"uniform noise (rand) where normal noise (randn) belongs": (0.5, 1 / 12), "no noise is drawn": (0, 0)}
    assert_moments("the noise that you draw", noise, 0, 1, mistakes)
    draws_alike(
        "the loss",
        lambda g: lib.noise_prediction_loss(Recorder(lambda x, t: x), torch.ones(5, 2), schedule, generator=g),
    )


@piece(
    "GaussianMixtureDenoiser.__call__",
    "For each component: the variance of its x_t, its log density, its share p(k | x_t) (a softmax); then `noise`, the shares' mean of spread (x_t - signal mean_k) / variance_k.",
    slice(2, -1),
)
def check_denoiser(lib):
    schedule, t = reference_schedule(lib), torch.tensor([1, 2, 6])
    means, stds, weights = [[-1.0, 0.5], [0.5, 0.0]], [0.1, 0.6], [0.3, 0.7]
    x_t = torch.tensor([[0.1, 0.2], [-0.3, 0.4], [0.2, -0.5]], dtype=torch.float64)

    def answer(weights=weights, stds=stds, power=1.0, hard=False, fade=None, root=1.0, dim=1):
        m, s, w = (torch.tensor(v, dtype=torch.float64) for v in (means, stds, weights))
        bar = column(schedule.alpha_bars[t])  # (N, 1)
        offset = x_t[:, None] - (bar.sqrt()[..., None] * m if fade != "means" else m)
        variance = ((bar * s**2 if fade != "stds" else s**2) + 1 - bar) ** root  # (N, K)
        log_density = -(offset**2).sum(-1) / (2 * variance) - power * variance.log()  # D / 2 = 1
        share = torch.softmax(w.log() + log_density, dim)
        share = F.one_hot(share.argmax(1), 2).double() if hard else share
        return (1 - bar).sqrt() * ((share / variance)[..., None] * offset).sum(1)

    right, spread = answer(), (1 - column(schedule.alpha_bars[t])).sqrt()
    mistakes = {
        "the sign is turned round": -right,
        "the score, up to its sign: the noise is -sqrt(1 - alpha_bar) times the score": right / spread,
        "the noise is -sqrt(1 - alpha_bar) times the score; a square root was left off": right * spread,
        "the weights of the mixture are not used": answer([0.5, 0.5]),
        "only the nearest component counts: weigh them by p(component | x_t)": answer(hard=True),
        "the density lacks its -D/2 log(variance)": answer(power=0),
        "D is 2, the density's log(variance) has the factor D/2, not 1/2": answer(power=0.5),
        "the components' own stds are not used": answer(stds=[0.0, 0.0]),
        "the stds are taken for variances: square them": answer(stds=[0.1**0.5, 0.6**0.5]),
        "a component's variance in x_t is alpha_bar std^2 + 1 - alpha_bar, yours lacks the alpha_bar": answer(
            fade="stds"
        ),
        "the means must fade too: signal times mean": answer(fade="means"),
        "the weights count by their logarithm: log weight + log density": answer([math.exp(w) for w in weights]),
        "standard deviations where variances belong": answer(root=0.5),
        "softmax over the points: over the components, dim=1": answer(dim=0),
    }
    denoiser = made_of(lib.GaussianMixtureDenoiser, schedule=schedule)
    for name, values in (("means", means), ("stds", stds), ("weights", weights)):
        setattr(denoiser, name, torch.tensor(values, dtype=torch.float64))
    assert_close("E[noise | x_t]", denoiser(x_t, t), right, mistakes)
