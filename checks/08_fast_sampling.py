"""How the pieces and exercises of notebook 08 are tried, and which mistakes are known."""

from itertools import pairwise

import torch

from course.check import BETAS, Checks, as_numbers, moments, normal

checks = Checks()
MILD = torch.linspace(0.05, 0.3, 9, dtype=torch.float64)  # here a step's own beta is a possible sigma^2
PER_IMAGE = "each image has a t of its own: per_image(..., x_t) gives its coefficients the shape that multiplies x_t"


class Guess(torch.nn.Module):
    """A model whose answer is a formula of x_t `(N, D)` and t; in training mode, where dropout would be on, it says twice as much."""

    def forward(self, x_t, t):
        return (0.4 * x_t + 0.08 * torch.as_tensor(t).to(x_t).reshape(-1, 1)) * (1 + self.training)


@checks.piece("ddim_step", "sigma is eta times the posterior's spread from t to s, from alpha_bars at t and s; x_s = sqrt(alpha_bar_s) x_0 + "
    "sqrt(1 - alpha_bar_s - sigma^2) noise, plus sigma times new noise where eta > 0.")  # fmt: skip
def _(lib):
    schedule, x_t, many = lib.NoiseSchedule(MILD), torch.tensor([[2.0, -0.3]]).double(), torch.full((100_000, 1), 2.0).double()

    def step(x_t, eta=0.0, t=6, s=3, clip=False):
        return lib.ddim_step(Guess().eval(), x_t, t, s, schedule, eta, torch.Generator().manual_seed(0), clip)

    found = {"x_3 from x_6 at eta = 0": step(x_t), "x_0 from x_6 at eta = 0": step(x_t, s=0), "x_3 with clip": step(x_t, clip=True)}
    found["x_s, for images that each have their own t and s"] = step(normal(3, 3), t=torch.tensor([2, 4, 6]), s=torch.tensor([0, 3, 1]))
    for eta in (1.0, 0.5):
        drawn = step(many, eta)
        assert torch.isfinite(drawn).all(), f"at eta = {eta} x_3 is NaN: 1 - alpha_bar_s - sigma^2 got negative, check sigma"
        found[f"x_3 from x_6 at eta = {eta}"] = moments(drawn)
    return found | {"the same seed draws the same noise": torch.equal(step(x_t, 1.0), step(x_t, 1.0))}


SQUARE, PREDICT = "(1 - then) / (1 - now) * (1 - now / then)", "x_0, noise = predict(model, x_t, t, schedule, clip)"
STALE = "noise = predicted_noise(model, x_t, t)\n    x_0 = schedule.predict_x_0(x_t, t, noise)\n    x_0 = x_0.clamp(-1, 1) if clip else x_0"
checks.mistakes("ddim_step", [
    ("(1 - then - sigma", "(1 - now - sigma", "sqrt(1 - alpha_bar_t) where sqrt(1 - alpha_bar_s) belongs: the noise of the time you go to"),
    ("then.sqrt(), x_t)", "now.sqrt(), x_t)", "sqrt(alpha_bar_t) where sqrt(alpha_bar_s) belongs"),
    ("schedule.alpha_bars[s]", "schedule.alpha_bars[t - 1]", "a step to t - 1: it must go to s"),
    ("then.sqrt(), x_t)", "then, x_t)", "the square root of alpha_bar_s was left off, in front of x_0"),
    ("then.sqrt(), x_t) * x_0 + per_image(kept, x_t)", "then, x_t) * x_0 + per_image(kept ** 2, x_t)", "the square roots were left off"),
    (" + per_image(kept, x_t) * noise", "", "only x_0 is left, the noise that points back to x_t is missing"),
    ("per_image(then.sqrt(), x_t) * x_0 + per_image(kept, x_t) * noise", "x_0", "this is x_0: the step must stop at s"),
    ("schedule.alpha_bars[t], schedule.alpha_bars[s]", "schedule.alphas[t], schedule.alphas[s]", "alpha of one step where alpha bar belongs"),
    ("then.sqrt(), x_t)", "schedule.alpha_bars[torch.as_tensor(s).clamp(min=1)].sqrt(), x_t)", "one step short: s = 0 must give x_0"),
    (", schedule, clip)", ", schedule)", "x_0 is clipped although clip=False: pass clip on"),
    (", schedule, clip)", ", schedule, False)", "the argument clip is not used"),
    (PREDICT, STALE, "x_0 was clipped and the noise was not computed anew"),
    ("per_image(then.sqrt(), x_t) * x_0 + per_image(kept, x_t) * noise", "then.sqrt() * x_0 + kept * noise", PER_IMAGE),
    (SQUARE, "(1 - schedule.alpha_bars[t - 1]) / (1 - now) * schedule.betas[t]", "sigma from the beta of one step (beta_tilde_t): at a stride above 1 it must come from alpha_bar at t and s"),
    (SQUARE, "schedule.betas[t]", "sigma from the beta of one step: at a stride above 1 it must come from alpha_bar at t and s"),
    (" - sigma ** 2", "", "sigma^2 was not taken out of the noise that is kept, sqrt(1 - alpha_bar_s - sigma^2): x_s gets too noisy"),
    ("per_image(sigma, x_t)", "per_image(sigma ** 2, x_t)", "sigma scales the noise as a variance: take its square root"),
    (f"({SQUARE}).sqrt()", SQUARE, "sigma is squared, or lacks its square root"),
    ("sigma ** 2", "sigma", "sigma where sigma^2 belongs, under the root of the noise that is kept"),
    ("= eta *", "= eta ** 2 *", "eta is squared"),
    ("= eta *", "= eta ** 0.5 *", "sigma grows with the root of eta: it is eta times the spread"),
    ("    now, then", "    eta = 1\n    now, then", "the argument eta is not used"),
    ("(1 - then) / (1 - now)", "(1 - now) / (1 - then)", "alpha_bar at t and s are swapped in sigma's first factor"),
    (" + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s", "", "no noise is added although eta > 0"),
    ("noise_like(x_t, generator)", "noise_like(x_t)", "ddim_step differs from call to call with the same seed: pass the generator on"),
])  # fmt: skip


@checks.piece("ddim_encode", "A walk along the times from 0 to T: the step from t to a later s asks the model at s (predicted_noise), predicts x_0 with that noise at t, "
    "and takes it to s with add_noise. No clipping.")  # fmt: skip
def _(lib):
    schedule, x_0 = lib.NoiseSchedule(BETAS), torch.tensor([[0.3], [-1.8]]).double()
    codes = {spacing: lib.ddim_encode(Guess().train(), schedule, x_0, 3, False, spacing) for spacing in ("time", "quadratic")}
    return {"the code of x_0, in 3 steps": codes["time"], "the code with quadratic spacing": codes["quadratic"]}


checks.mistakes("ddim_encode", [
    ("predicted_noise(model, x_t, s)", "predicted_noise(model, x_t, t)", "the model is asked at t where the step back asks at s: it leads elsewhere"),
    ("[::-1]", "[:0:-1]", "one step short: the last step goes to T"),
    ("(x_t, t, noise)", "(x_t, t, noise).clamp(-1, 1)", "x_0 is clipped: encoding must not clip"),
    ("schedule.predict_x_0(x_t, t, noise)", "x_0", "every step starts from the x_0 that was given: predict it anew from x_t"),
    ("[::-1]", "", "this is the way down, from T to 0: turn the times round"),
    ("schedule, steps, spacing)", "schedule, schedule.T)", "all T steps: use `steps` of them"),
    ("predicted_noise(model, x_t, s)", "model(x_t, torch.full((len(x_t),), s))", "the model encodes in training mode, with its dropout on: ask it through predicted_noise"),
    ("schedule, steps, spacing)", "schedule, steps)", "the argument spacing is not used"),
])  # fmt: skip


@checks.piece("dpm_solver_step", "lamda = log(signal / spread). With `previous`, and for each image where s > 0 (torch.where; there spread[s] > 0), "
    "the target is x_0 carried on along its last change, by (lamda_s - lamda_t) / (2 (lamda_t - lamda_r)). "
    "x_s = spread_s / spread_t x_t + (signal_s - spread_s / spread_t signal_t) target.")  # fmt: skip
def _(lib):
    schedule, x_t = lib.NoiseSchedule(BETAS), torch.tensor([[2.0], [-0.3]]).double()
    before = torch.tensor([8, 8]), torch.full((2, 1), 0.25).double()

    def step(x_t=x_t, t=6, s=3, previous=None, clip=False):
        got = lib.dpm_solver_step(Guess().eval(), x_t, t, s, schedule, previous, clip)
        assert isinstance(got, tuple) and len(got) == 2, "dpm_solver_step returns x_s and (t, x_0): return x_s, (t, x_0)"
        return got

    x_s, (time, x_0) = step()
    found = {"x_3 from x_6, the first step": x_s, "the x_0 that the step returns": x_0}
    found["the time that the step returns"] = torch.as_tensor(time).double().mean()
    x_s, (_, x_0) = step(previous=before)
    found |= {"x_3 from x_6, the second step": x_s, "the x_0 that the second step returns": x_0, "the x_0 with clip": step(clip=True)[1][1]}
    found["x_0 from x_6, the last step"] = step(s=0, previous=before)[0]
    x, t, s, r = normal(3, 3), torch.tensor([2, 4, 6]), torch.tensor([1, 3, 2]), torch.tensor([3, 6, 7])
    found["x_s, for images that each have their own t and s"] = step(x, t, s)[0]
    return found | {"x_s, where s = 0 for one image only": step(x, t, torch.tensor([1, 3, 0]), (r, 0.5 * x))[0]}


TOGETHER = "a step differs with the other images of its batch: with s = 0 for one of them, only that one is of first order (torch.where)"
REACH, X_S = "(lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r]))", "per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target"
checks.mistakes("dpm_solver_step", [
    ("x_0, _ = predict", "_, x_0 = predict", "the model's noise stands where x_0 belongs"),
    (", schedule, clip)", ", schedule)", "x_0 is clipped although clip=False: pass clip on"),
    (", schedule, clip)", ", schedule, False)", "the argument clip is not used"),
    ("shrink = spread[s] / spread[t]", "shrink = spread[s]", "this is DDIM's noise with the wrong time: spread_s / spread_t shrinks x_t"),
    ("shrink = spread[s] / spread[t]", "shrink = signal[s] / signal[t]", "signal_s / signal_t shrinks x_t: that is the solver for noise; here it is spread_s / spread_t"),
    ("signal[s] - shrink * signal[t]", "signal[s]", "the weight of x_0 is signal_s - spread_s / spread_t signal_t, yours is signal_s"),
    ("(t, x_0)", "(t, target)", "the target is returned: return the prediction x_0 itself"),
    ("(t, x_0)", "(s, x_0)", "this is s: the prediction was made at t"),
    ("if previous is not None", "if False", "first order although there is a previous prediction"),
    ("(2 * (lamda[t] - lamda[r]))", "(lamda[t] - lamda[r])", "the half is missing in (lamda_s - lamda_t) / (2 (lamda_t - lamda_r))"),
    (REACH, "(lamda[t] - lamda[r]) / (2 * (lamda[s] - lamda[t]))", "the ratio is upside down: (lamda_s - lamda_t) goes above"),
    (REACH, "(t - s) / (2 * (r - t))", "steps measured in t where log-SNR belongs"),
    ("(x_0 - x_0_before)", "(x_0_before - x_0)", "the change has the wrong sign: x_0 minus the one before"),
    (".log()", "", "lamda without its logarithm"),
    (f"torch.where(spread[s] > 0, {REACH}, 0.0)", REACH, "it must be of first order: the log-SNR at t = 0 is infinite, and 0 times infinity is NaN"),
    ("if previous is not None", "if previous is not None and (torch.as_tensor(s) > 0).all()", TOGETHER),
    ("per_image(reach, x_t)", "reach", PER_IMAGE),
    (X_S, "shrink * x_t + (signal[s] - shrink * signal[t]) * target", PER_IMAGE),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    cases = (1000, 500, 1.0), (400, 360, 1.0), (400, 360, 0.5), (100, 20, 0.2)
    return {f"the share for t = {t}, s = {s}, eta = {eta}": as_numbers(answer(page.schedule, t, s, eta)) for t, s, eta in cases}


SHARE = "eta ** 2 * (1 - now / then) / (1 - now)"
checks.mistakes(1, [
    ("(1 - now / then)", "schedule.betas[t]", "beta_t is the noise of one step; a long one has 1 - alpha_bar_t / alpha_bar_s"),
    (SHARE, f"({SHARE}).sqrt()", "these are standard deviations; the question is about variances"),
    (SHARE, f"(1 - then) * {SHARE}", "this is sigma^2 itself; divide it by the whole variance, 1 - alpha_bar_s"),
    ("eta ** 2", "eta", "eta multiplies sigma, so it enters the variance squared"),
    ("eta ** 2 * ", "", "eta is missing: this is the share for eta = 1"),
    ("now / then", "then / now", "the ratio is upside down: alpha_bar_t is smaller than alpha_bar_s"),
    (SHARE, "eta ** 2 * (1 - then / now).sqrt() ** 2 / (1 - now)", "is a ratio upside down? alpha_bar_t is smaller than alpha_bar_s"),
])  # fmt: skip


@checks.exercise(2, 1e-5)
def _(answer, page):
    x_0, x_0_before, infinity = torch.tensor([[0.5, -0.2]]), torch.tensor([[0.1, 0.3]]), float("inf")
    found = {"the prediction for lambda = -2, 0, 0.6": answer(x_0, x_0_before, -2.0, 0.0, 0.6)}
    found["the first step (it has no line)"] = answer(x_0, None, None, 0.0, 0.6)
    return found | {"the step to t = 0 (infinitely long in lambda)": answer(x_0, x_0_before, -2.0, 0.0, infinity)}


NONE, ON = "x_0_before is None or ", "(lambda_s - lambda_t) / 2 * slope"
checks.mistakes(2, [
    ("(x_0 - x_0_before)", "(x_0_before - x_0)", "you lean towards the earlier prediction; the line goes on beyond x_0"),
    (" / 2", "", "this is the line at the end of the step: take it in the middle, h / 2 on"),
    (ON, "(x_0 - x_0_before) / 2", "a fixed weight of 1/2 is right only for steps of equal length"),
    (ON, "(lambda_t - lambda_r) / (lambda_s - lambda_t) / 2 * (x_0 - x_0_before)", "the ratio of the two lengths is upside down: this step's length h goes on top"),
    (f" + {ON}", "", "this is x_0 alone, the first-order step; use the prediction before as well"),
    (NONE, "", "in the first step x_0_before is None: return x_0 there"),
    (f"if {NONE}", "if x_0_before is None:\n        return torch.zeros_like(x_0)\n    if ", "return x_0 there"),
    (" or lambda_s == float('inf')", "", "of first order: return x_0 there"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    times = list(answer(page.schedule.T, 10))
    assert all(isinstance(t, int) for t in times), "the network knows whole t only: round them to Python ints"
    assert len(times) < 2 or times[0] > times[-1], "these times rise: sampling goes from noise, T, down to 0"
    assert times[-1] == 0, f"the last time is {times[-1]}: a run that does not end at t = 0 leaves noise in the picture"
    assert times[0] == page.schedule.T, f"the first time is {times[0]}: pure noise belongs to T = {page.schedule.T}"
    assert len(times) == 11, f"10 steps visit 11 times, T and 0 included; you have {len(times)}"
    assert all(t > s for t, s in pairwise(times)), "the times must fall, and no two may be the same"
    known = [page.sampling_times(page.schedule, 10, spacing) for spacing in ("time", "quadratic", "log_snr")]
    error, best = page.toy_error(page.dpm_solver_sample, times), min(page.toy_error(page.dpm_solver_sample, some) for some in known)
    advice = "the last long step before 0 is of first order: from where does it jump?"
    assert error < 0.999 * best, f"mean error {error:.4f}, the library's best spacing has {best:.4f}; {advice}"


checks.mistakes(3, [
    ("range(steps, -1, -1)", "range(steps, 0, -1)", "a run that does not end at t = 0 leaves noise in the picture"),
    ("T * ", "(T - 1) * ", "pure noise belongs to T = 1000"),
    (" ** 2.5", "", "the library's best spacing has 0.0287"),
    ("(k / steps) ** 2.5) for k in range(steps,", "(k / (steps + 1)) ** 2.5) for k in range(steps + 1,", "10 steps visit 11 times"),
    ("2.5", "6", "no two may be the same"),
    ("range(steps, -1, -1)", "range(steps + 1)", "these times rise"),
    ("round(T * (k / steps) ** 2.5)", "T * (k / steps) ** 2.5", "round them to Python ints"),
])  # fmt: skip
