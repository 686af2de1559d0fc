"""How the pieces and exercises of notebook 05 are tried, and which mistakes are known."""

import torch

from course.check import BETAS, Checks, moments, normal, raised, seeded, twice

checks = Checks()


def guess(x_t, t):
    """Stands in for a network."""
    return 0.3 * x_t + 0.1 * torch.as_tensor(t).reshape(-1, 1)


@checks.piece(
    "noise_prediction_loss",
    "Where t is None draw one for each image, 1..T; schedule.check(t, 1, x_0=x_0) refuses a given t = 0. Where noise is None draw it "
    "(noise_like). Then the mean squared error of model(x_t, t), with t as time_of_each(t, x_0) lays it out.",
)
def _(lib):
    schedule, x_0, t, noise = lib.NoiseSchedule(BETAS), normal(3, 2), torch.tensor([1, 4, 8]), normal(3, 2, seed=1)
    weight, seen = torch.ones(1, dtype=torch.float64, requires_grad=True), []

    def loss(model=guess, x_0=x_0, **given):
        return lib.noise_prediction_loss(model, x_0, schedule, generator=seeded(), **given)

    def watch(x_t, t):
        seen.append((x_t, torch.as_tensor(t)))
        return weight * x_t

    found = {"called twice, with t and noise given": twice(lambda: lib.noise_prediction_loss(guess, x_0, schedule, t, noise))}
    found |= {"the loss": loss(t=t, noise=noise), "with one seed and t given, twice": twice(lambda: loss(t=t)), "with one seed, twice": twice(loss)}
    found["a gradient leads to the model"] = str(getattr(loss(watch, t=t, noise=noise), "requires_grad", False))
    loss(watch, torch.zeros(20_000, 2))
    x_t, times = seen[-1]
    found |= {"the times drawn for 20,000 images": str(times.unique().tolist()), "these times": moments(times)}
    drawn = x_t / (1 - schedule.alpha_bars[times]).sqrt().reshape(-1, 1)
    found |= {"each image has noise of its own": str(bool(drawn[:, 0].std() > 1e-3)), "the noise that you draw": moments(drawn)}
    return found | {"a given t = 0": raised(loss, t=0, noise=noise)}


X_T = "signal * x_0 + spread * noise"
MODEL = f"model({X_T}, time_of_each(t, x_0))"
DRAWN, NO_GRADIENT = "draw only what is None", "no gradient leads from the loss to the model: return the tensor as it is"
checks.mistakes("noise_prediction_loss", [
    ("F.mse_loss", "F.l1_loss", "the mean absolute error (L1) where the squared error belongs"),
    ("F.mse_loss", "F.smooth_l1_loss", "the Huber loss where the squared error belongs: Eq. 14 is a mean square"),
    ("x_0)), noise)", "x_0)), noise, reduction='sum')", "the sum of the squares: take their mean"),
    (f"F.mse_loss({MODEL}, noise)", f"({MODEL} - noise).square().sum(1).mean()", "the sum over an image and the mean over the images: take the mean of all"),
    (f"F.mse_loss({MODEL}, noise)", f"({MODEL} - noise).square().mean(1)", "one loss for each image: return their mean"),
    ("return F", "return 0.5 * F", "half the mean square"),
    ("x_0)), noise)", "x_0)), noise).sqrt()", "the square root of the mean square"),
    ("x_0)), noise)", "x_0)), x_0)", "the answer is compared with x_0: the network predicts the noise"),
    ("x_0)), noise)", f"x_0)), {X_T})", "the answer is compared with x_t: the network predicts the noise"),
    (f"{MODEL}, noise)", f"schedule.predict_x_0({X_T}, t, {MODEL}), x_0)", "the errors of the implied x_0: compare the noises"),
    (f"model({X_T}", "model(x_0", "the model sees the clean x_0: it must see x_t"),
    (f"model({X_T}", "model(noise", "the model sees the noise: it must see x_t"),
    ("time_of_each(t, x_0)", "time_of_each(t, x_0) - 1", "the model sees t - 1: it must see the t that made x_t"),
    (MODEL, f"model(time_of_each(t, x_0), {X_T})", "the model is called as model(x_t, t), with t itself, a whole number"),
    ("if noise is None:", "if True:", f"the noise is drawn although it is given: {DRAWN}"),
    ("if t is None", "if True", f"t is drawn although it is given: {DRAWN}"),
    ("noise_like(x_0, generator)", "noise_like(x_0)", "the noise does not follow the seed: hand `generator` on"),
    ("generator=generator, ", "", "the times do not follow the seed: hand `generator` on"),
    ("x_0)), noise)", "x_0)), noise).item()", NO_GRADIENT),
    ("x_0)), noise)", "x_0)).detach(), noise)", NO_GRADIENT),
    ("x_0.shape[:1]", "(1,)", "each image needs a t of its own"),
    ("1, schedule.T + 1", "schedule.T", "t = 0 is drawn, a clean image with nothing to predict: t runs from 1 to T"),
    ("1, schedule.T + 1", "0, schedule.T + 1", "t = 0 is drawn as well, a clean image with nothing to predict: t runs from 1 to T"),
    ("1, schedule.T + 1", "1, schedule.T", "t = T is never drawn: randint leaves its upper end out"),
    ("noise_like(x_0, generator)", "noise_like(x_0[:1], generator).expand_as(x_0)", "one noise for all images: each needs noise of its own"),
    ("noise_like(x_0, generator)", "torch.zeros_like(x_0)", "no noise is drawn"),
    ("noise_like(x_0, generator)", "torch.rand(x_0.shape, generator=generator)", "uniform noise (rand) where normal noise (randn) belongs"),
    ("schedule.check(t, 1, x_0=x_0)", "t", "a given t = 0 must be refused, there is no noise to predict: schedule.check(t, 1, x_0=x_0)"),
])  # fmt: skip


@checks.piece("GaussianMixtureDenoiser.__call__", "For each component: the variance of its x_t, its log density, its share p(k | x_t) (a softmax); then `noise`, the shares' mean of spread (x_t - signal mean_k) / variance_k.")
def _(lib):
    denoiser = lib.GaussianMixtureDenoiser([[-1.0, 0.5], [0.5, 0.0]], [0.1, 0.6], [0.3, 0.7], lib.NoiseSchedule(BETAS))
    x_t = torch.tensor([[0.1, 0.2], [-0.3, 0.4], [0.2, -0.5]], dtype=torch.float64)
    return {"E[noise | x_t] at t = 1, 2, 6": denoiser(x_t, torch.tensor([1, 2, 6])), "at an int t = 2": denoiser(x_t, 2)}


VARIANCE = "signal ** 2 * self.stds ** 2 + spread ** 2"
checks.mistakes("GaussianMixtureDenoiser.__call__", [
    ("noise = spread", "noise = -spread", "the sign is turned round"),
    ("spread * torch", "torch", "the score, up to its sign: the noise is -sqrt(1 - alpha_bar) times the score"),
    ("spread * torch", "spread ** 2 * torch", "the noise is -sqrt(1 - alpha_bar) times the score; a square root was left off"),
    ("self.weights.log() + ", "", "the weights of the mixture are not used"),
    ("self.weights.log()", "self.weights", "the weights count by their logarithm: log weight + log density"),
    ("share / variance", "F.one_hot(share.argmax(1), share.shape[1]) / variance", "only the nearest component counts: weigh them by p(component | x_t)"),
    (" - x.shape[1] / 2 * variance.log()", "", "the density lacks its -D/2 log(variance)"),
    ("x.shape[1] / 2", "0.5", "D is 2, the density's log(variance) has the factor D/2, not 1/2"),
    (VARIANCE, "spread ** 2 + 0 * self.stds", "the components' own stds are not used"),
    ("self.stds ** 2", "self.stds", "the stds are taken for variances: square them"),
    ("signal ** 2 * self", "self", "a component's variance in x_t is alpha_bar std^2 + 1 - alpha_bar, yours lacks the alpha_bar"),
    (VARIANCE, f"({VARIANCE}).sqrt()", "standard deviations where variances belong"),
    ("signal[..., None] * self", "self", "the means must fade too: signal times mean"),
    ("dim=1", "dim=0", "softmax over the points: over the components, dim=1"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    return {f"the error of x_0 at t = {t}": float(answer(0.5, t, page.schedule)) for t in (300, 1, 1000)}


FACTOR = "(1 - schedule.alpha_bars[t]) / schedule.alpha_bars[t]"
checks.mistakes(1, [
    (FACTOR, "schedule.snr[t]", "upside down: at large t a small error in the noise is a LARGE error in x_0"),
    (FACTOR, f"({FACTOR}) ** 0.5", "that factor turns errors into errors; squared errors need its square"),
    (" / schedule.alpha_bars[t]", "", "the division by alpha_bar_t, the square of the signal's factor, is missing"),
    (FACTOR, FACTOR.replace("[t]", "[t - 1]"), "off by one: alpha_bars[t] is the paper's alpha_bar_t, no shift"),
    (FACTOR, "schedule.betas[t] / schedule.alphas[t]", "beta_t and alpha_t belong to one step; x_t has come t"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    t = torch.tensor([1, 3, 40, 200, 600, 1000])
    return {"the mean term of the bound": torch.as_tensor(answer(guess, normal(6, 3), t, normal(6, 3, seed=1), page.schedule))}


WEIGHT = "beta ** 2 / (2 * beta * alpha * (1 - alpha_bar))"
checks.mistakes(2, [
    (".mean()", "", "one number is asked for, the mean over the batch"),
    (f"({WEIGHT} * squares).mean()", f"({WEIGHT}).mean() * squares.mean()", "each point has its own weight: multiply first, then take the mean over the batch"),
    ("sum(1)", "mean(1)", "Eq. 12 has a sum over the coordinates; you took their mean"),
    ("2 * beta", "beta", "the 2 under the fraction is missing"),
    ("beta * alpha *", "beta * alpha_bar *", "the weight holds alpha_t, not alpha_bar_t, beside (1 - alpha_bar_t)"),
    ("2 * beta", "2", "sigma_t^2 = beta_t cancels one of the two betas; yours has both"),
    (f"{WEIGHT} * ", "", "the weight is missing: this is the simple loss, summed over the coordinates"),
    ("schedule.add_noise(x_0, t, noise)", "x_0", "the model has to see x_t, not x_0"),
])  # fmt: skip


def count_rises(curve, least=0.02):
    """How often a curve climbs by more than `least` from a low point, falling by as much in between."""
    rises, climbing, turn = 0, False, curve[0]  # turn: the highest place since it climbs, or the lowest since it falls
    for value in curve:
        turn = max(turn, value) if climbing else min(turn, value)
        if abs(value - turn) > least:
            rises, climbing, turn = rises + (not climbing), not climbing, value
    return rises


@checks.exercise(3)
def _(answer, page):
    mixture = answer()
    assert isinstance(mixture, tuple) and len(mixture) == 3, "return three lists: means, stds, weights"
    means = torch.as_tensor(mixture[0], dtype=torch.float64)
    assert means.ndim == 1, f"one number for each mean is needed (a 1-D mixture), got shape {tuple(means.shape)}"
    assert means.abs().max() <= 1, f"means must lie in [-1, 1], the range of pictures; got up to {means.abs().max():.3g}"
    assert len(means) > 1, "one Gaussian: its floor falls at every step, as the closed form says"
    assert min(mixture[1]) >= 0.005, "stds below 0.005 are too narrow for the grid of best_loss"
    rises = count_rises(page.best_loss(*mixture, page.schedule, page.every[::2]).tolist())
    assert rises > 0, "the floor never rises: the components overlap from the start; make them narrow beside their distance"
    assert rises > 1, "the floor rises once: all neighbours merge at about the same t; you need two distances, a small and a large one"


MEANS = "[-0.9, -0.6, 0.6, 0.9]"
checks.mistakes(3, [
    (f"{MEANS}, [0.02] * 4, [1.0] * 4", "[0.0], [0.3], [1.0]", "one Gaussian: its floor falls"),
    (f"{MEANS}, [0.02] * 4, [1.0] * 4", "[-0.75, 0.5], [0.05, 0.05], [0.4, 0.6]", "the floor rises once"),
    (MEANS, "[-0.9, -0.3, 0.3, 0.9]", "all neighbours merge at about the same t"),
    ("0.02", "0.6", "overlap from the start"),
    (MEANS, "[-4.5, -3.0, 3.0, 4.5]", "means must lie in [-1, 1]"),
])  # fmt: skip
