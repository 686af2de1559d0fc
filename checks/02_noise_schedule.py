"""How the pieces and exercises of notebook 02 are tried, and which mistakes are known."""

import torch

from course.check import BETAS, Checks, kind, normal, raised

checks = Checks()
PER_IMAGE = "each image has a t of its own: per_image(..., x) gives its coefficients the shape that multiplies x"


@checks.piece("linear_betas", "An even line of T values from 1e-4 to 0.02 in float64, scaled by 1000 / T, capped at 0.999.", 1e-9)
def _(lib):
    return {f"linear_betas({T})": lib.linear_betas(T) for T in (1000, 50, 10)} | {"its dtype": kind(lib.linear_betas(9))}


checks.mistakes("linear_betas", [
    ("1000 / T * ", "", "these betas are meant for T = 1000: at another T x_T is not noise, so scale by 1000 / T"),
    ("T, dtype=torch.float64", "T", "computed in float32: linear_betas must return float64, so begin with dtype=torch.float64"),
    (", dtype=torch.float64)).clamp(max=0.999)", ")).clamp(max=0.999).double()", "computed in float32, and then made float64: begin with dtype=torch.float64"),
    ("max=0.999", "max=1", "the cap is 0.999: a beta of 1 would leave nothing of the picture"),
    ("1000 / T *", "T / 1000 *", "scaled by T / 1000, it is 1000 / T"),
    (".clamp(max=0.999)", "", "no cap: a beta above 1 is no variance, clamp at 0.999"),
    ("max=0.999", "0.999", "clamp(0.999) lifts every beta to 0.999: the cap is clamp(max=0.999)"),
    ("torch.linspace(0.0001, 0.02, T, dtype=torch.float64)", "(0.0001 + torch.arange(T, dtype=torch.float64) / T * 0.0199)", "the line must end at 0.02 for t = T: divide t - 1 by T - 1"),
    ("1000 / T * torch.linspace(0.0001, 0.02, T", "torch.linspace(0.0001, 20 / T, T", "only one end of the line is scaled: all of it, by 1000 / T"),
    ("torch.linspace(0.0001, 0.02, T, dtype=torch.float64)", "torch.linspace(0.01, 0.02 ** 0.5, T, dtype=torch.float64) ** 2", "a line between the square roots, squared: that is another schedule ('scaled linear')"),
    ("max=0.999)", "max=0.999).flip(0)", "the betas run from the last to the first"),
    ("return (1000 / T * torch.linspace(0.0001, 0.02, T, dtype=torch.float64)).clamp(max=0.999)", "return torch.cat([torch.zeros(1), (1000 / T * torch.linspace(0.0001, 0.02, T, dtype=torch.float64)).clamp(max=0.999)])", "T + 1 entries: leave out beta_0, it returns beta_1 .. beta_T"),
])  # fmt: skip


@checks.piece("cosine_betas", "f(t) at t = 0..T; beta_t is 1 minus the ratio of neighbouring f; cap at 0.999. float64 throughout.", 1e-9)
def _(lib):
    return {"cosine_betas(20)": lib.cosine_betas(20), "its dtype": kind(lib.cosine_betas(20))}


LAST = "(1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=0.999)"
checks.mistakes("cosine_betas", [
    ("s = 0.008", "s = 0", "the offset s = 0.008 is missing"),
    (" ** 2", "", "the cosine is not squared"),
    (LAST, "(alpha_bars / alpha_bars[0])[1:]", "these are the alpha bars; beta_t is 1 - alpha_bar_t / alpha_bar_{t-1}"),
    (LAST, "alpha_bars[1:] / alpha_bars[:-1]", "these are the alphas; beta_t is 1 - alpha_t"),
    (LAST, "1 - (alpha_bars / alpha_bars[0])[1:]", "1 - alpha_bar_t: beta_t is 1 minus the ratio of neighbours"),
    (".clamp(max=0.999)", "", "no cap: clamp at 0.999"),
    ("alpha_bars[1:] / alpha_bars[:-1]", "alpha_bars[:-1] / alpha_bars[1:]", "the ratio is upside down, f(t) goes above f(t - 1)"),
    (LAST, "alpha_bars[:-1] - alpha_bars[1:]", "the difference of neighbours: beta_t is 1 minus their ratio"),
    (" / T\n", "\n", "t is not divided by T"),
    ("(time + s) / (1 + s)", "((time + s) / 1 + s)", "1 + s stands without its brackets"),
    ("/ (1 + s)", "/ 1 + s", "1 + s stands without its brackets"),
    ("math.pi / 2", "math.pi", "half a cosine too far, pi where pi / 2 belongs"),
])  # fmt: skip


@checks.piece("NoiseSchedule.__init__", "Set T; put beta_0 = 0 in front of the betas; then alphas, alpha_bars (a running product) and snr, each of length T + 1.")
def _(lib):
    schedule, found = lib.NoiseSchedule(BETAS), {}
    for name in ("T", "betas", "alphas", "alpha_bars", "snr"):
        assert hasattr(schedule, name), f"NoiseSchedule has no attribute {name}: set self.{name} in __init__"
        found |= {f"schedule.{name}": getattr(schedule, name), f"the dtype of schedule.{name}": kind(getattr(schedule, name))}
    return found


BARS, SNR = "self.alphas.cumprod(0)", "self.alpha_bars / (1 - self.alpha_bars)"
checks.mistakes("NoiseSchedule.__init__", [
    ("torch.cat([torch.zeros(1, dtype=torch.float64), betas])", "betas", "it has T entries: put t = 0 in front, so that schedule.betas[t] belongs to t"),
    ("len(betas)", "len(betas) + 1", "T is the number of betas without beta_0"),
    ("1 - self.betas", "self.betas", "alpha is 1 - beta"),
    ("1 - self.betas", "(1 - self.betas).sqrt()", "no root here"),
    (BARS, "self.alphas.log().cumsum(0)", "its logarithm, a sum of logarithms: take exp"),
    (BARS, "self.betas.cumprod(0)", "the running product of the betas; it is that of the alphas, 1 - beta"),
    (BARS, "self.alphas", "these are the alphas of single steps; alpha bar is their running product"),
    (BARS, "self.alphas.cumsum(0)", "a running sum where a running product belongs"),
    (BARS, "1 - self.betas.cumsum(0)", "1 - the sum of the betas; the steps multiply"),
    (BARS, "self.alphas.cumprod(0).sqrt()", "the square root, an amplitude; alpha bar is the product itself"),
    (BARS, "torch.cat([self.alphas[:1], self.alphas.cumprod(0)[:-1]])", "the product stops one step before t"),
    (BARS, "self.alphas.prod().expand(len(self.alphas))", "the product over all T steps at every t; stop at t"),
    (SNR, "(1 - self.alpha_bars) / self.alpha_bars", "upside down: signal over noise"),
    (SNR, f"({SNR}).sqrt()", "a ratio of amplitudes; the SNR is the ratio of the squares"),
    (SNR, f"({SNR}).log()", "its logarithm"),
    (SNR, "self.alpha_bars / self.betas", "over beta; the noise in x_t has the variance 1 - alpha_bar"),
])  # fmt: skip

SMALL = torch.full((3,), 1e-4, dtype=torch.float64)  # so small that 1 - alpha_bar loses digits in float32


@checks.piece("NoiseSchedule.signal_and_noise", "The two square roots of Eq. 4, read from alpha_bars at t; per_image gives each the shape that multiplies x.", 1e-7)
def _(lib):
    x, t = torch.zeros(2, 1, 3, 3), torch.tensor([2, 5])
    signal, spread = lib.NoiseSchedule(BETAS).signal_and_noise(t, x)
    found = {"the signal's coefficient at t = 2, 5": signal.flatten(), "the noise's coefficient at t = 2, 5": spread.flatten()}
    found |= {"their shape, for x of shape (2, 1, 3, 3)": tuple(signal.shape), "their dtype": kind(signal)}
    return found | {"the noise's coefficient where beta_1 = 1e-4": lib.NoiseSchedule(SMALL).signal_and_noise(t[:1] - 1, x[:1])[1].flatten()}


STACK = "torch.stack([self.alpha_bars, 1 - self.alpha_bars]).sqrt()"
checks.mistakes("NoiseSchedule.signal_and_noise", [
    (STACK, "torch.stack([self.alpha_bars, 1 - self.alpha_bars])", "alpha bar itself, its square root was left off"),
    (STACK, "torch.stack([self.alphas, 1 - self.alpha_bars]).sqrt()", "alpha of one step where alpha bar belongs"),
    (STACK, "torch.stack([self.alpha_bars, self.betas]).sqrt()", "sqrt(beta) of one step where sqrt(1 - alpha_bar) belongs"),
    (STACK, "torch.stack([self.alpha_bars.sqrt(), 1 - self.alpha_bars])", "a variance where its square root belongs"),
    (STACK, "torch.stack([self.alpha_bars.sqrt(), 1 - self.alpha_bars.sqrt()])", "1 - sqrt(alpha_bar), the root goes around 1 - alpha_bar"),
    (STACK, "torch.stack([1 - self.alpha_bars, self.alpha_bars]).sqrt()", "the two are swapped"),
    ("both[:, t]", "both[:, t - 1]", "t is off by one, alpha_bar_{t-1}"),
    ("both[:, t]", "both[:, t + 1]", "t is off by one, alpha_bar_{t+1}"),
    ("(per_image(signal, x), per_image(spread, x))", "(signal, spread)", "use per_image: it gives them the shape and the dtype of x"),
    (STACK, "torch.stack([self.alpha_bars.float(), 1 - self.alpha_bars.float()]).sqrt()", "digits are lost in the float32 of x: compute with the schedule's float64, and give per_image the result"),
])  # fmt: skip



def of_each_image(call, lowest, what):
    """A method's outcomes for images that each have their own t, for one int t, and for a t that must be refused."""
    t, a, b = torch.tensor([lowest, 2, 5]), normal(3, 2), normal(3, 2, seed=1)
    found = {what: call(a, t, b), f"{what}, again": call(a, t, b), "its first argument, afterwards": a}
    return found | {f"{what}, at an int t = 5": call(a, 5, b), f"t = {lowest - 1}": raised(call, a, lowest - 1, b)}


CHECKED = "t = -1 must be refused: self.check(t, 0, ...) does that"


@checks.piece("NoiseSchedule.add_noise", "self.check(t, 0, x_0=x_0, noise=noise) returns t as a tensor; signal_and_noise gives the two coefficients of Eq. 4.")
def _(lib):
    return of_each_image(lib.NoiseSchedule(BETAS).add_noise, 0, "x_t")


CHECK, BOTH = "self.check(t, 0, x_0=x_0, noise=noise)", "self.signal_and_noise(self.check(t, 0, x_0=x_0, noise=noise), x_0)"
checks.mistakes("NoiseSchedule.add_noise", [
    ("spread * noise", "spread ** 2 * noise", "the noise is scaled by its variance, 1 - alpha_bar: take the square root"),
    ("signal * x_0", "signal ** 2 * x_0", "the picture is scaled by alpha_bar: take the square root"),
    ("signal * x_0 + spread * noise", "signal ** 2 * x_0 + spread ** 2 * noise", "both square roots were left off"),
    (BOTH, f"(per_image(v[{CHECK}].sqrt(), x_0) for v in (self.alphas, self.betas))", "the coefficients of a single step (Eq. 2): the jump takes alpha bar"),
    ("spread * noise", "per_image(self.betas[t].sqrt(), x_0) * noise", "the noise of a single step, sqrt(beta), where sqrt(1 - alpha_bar) belongs"),
    (CHECK, f"torch.as_tensor({CHECK} - 1).clamp(min=0)", "t is off by one, alpha_bar_{t-1} where alpha_bar_t belongs"),
    ("signal * x_0 + spread * noise", "spread * x_0 + signal * noise", "signal and noise are swapped"),
    ("+ spread", "- spread", "the noise is taken away instead of added"),
    ("signal * x_0 + spread * noise", "signal.sqrt() * x_0 + spread.sqrt() * noise", "signal_and_noise has taken the square roots already"),
    ("signal * x_0", "x_0", "the picture doesn't fade: it needs the factor sqrt(alpha_bar)"),
    ("spread * noise", "spread * torch.randn_like(x_0)", "add_noise draws noise of its own: use the argument `noise`"),
    (CHECK, "torch.as_tensor(t)", CHECKED),
])  # fmt: skip


@checks.piece("NoiseSchedule.predict_x_0", "Solve Eq. 4 for x_0. t runs from 0: self.check(t, 0, x_t=x_t, noise=noise).")
def _(lib):
    return of_each_image(lib.NoiseSchedule(BETAS).predict_x_0, 0, "the predicted x_0")


CHECK, RIGHT = "self.check(t, 0, x_t=x_t, noise=noise)", "(x_t - spread * noise) / signal"
checks.mistakes("NoiseSchedule.predict_x_0", [
    (RIGHT, "x_t - spread * noise", "not divided by sqrt(alpha_bar)"),
    (RIGHT, "x_t - spread * noise / signal", "only the noise is divided: put brackets around the difference"),
    (RIGHT, "x_t / signal - spread * noise", "only x_t is divided: put brackets around the difference"),
    ("/ signal", "/ signal ** 2", "divided by alpha_bar, its square root was left off"),
    ("spread * noise", "spread ** 2 * noise", "the noise is taken away with its variance, 1 - alpha_bar: take the square root"),
    ("x_t - spread", "x_t + spread", "the noise is added instead of taken away"),
    ("spread * noise", "noise", "all the noise is taken away: it is in x_t with the factor sqrt(1 - alpha_bar)"),
    ("/ signal", "* signal", "multiplied by sqrt(alpha_bar), divide"),
    (CHECK, f"torch.as_tensor({CHECK} - 1).clamp(min=0)", "t is off by one"),
    (RIGHT, "(x_t - signal * noise) / spread", "signal and spread are swapped: divide by sqrt(alpha_bar)"),
    (f"self.signal_and_noise({CHECK}, x_t)", f"(per_image(v[{CHECK}].sqrt(), x_t) for v in (self.alphas, self.betas))", "the coefficients of a single step (Eq. 2): Eq. 4 has alpha bar"),
    (f"return {RIGHT}", f"return ({RIGHT}).clamp(-1, 1)", "clipped to [-1, 1]: leave that to the sampler"),
    (f"return {RIGHT}", "x_t -= spread * noise\n    return x_t / signal", "predict_x_0 changes the tensor that it is given: make a new one"),
    (f"self.signal_and_noise({CHECK}, x_t)", f"(self.alpha_bars[{CHECK}].sqrt(), (1 - self.alpha_bars[t]).sqrt())", PER_IMAGE),
    (CHECK, "torch.as_tensor(t)", CHECKED),
])  # fmt: skip


@checks.piece("NoiseSchedule.predict_noise", "Solve Eq. 4 for the noise. t runs from 1: self.check(t, 1, x_t=x_t, x_0=x_0).")
def _(lib):
    return of_each_image(lib.NoiseSchedule(BETAS).predict_noise, 1, "the predicted noise")


RIGHT = "(x_t - signal * x_0) / spread"
checks.mistakes("NoiseSchedule.predict_noise", [
    (RIGHT, "x_t - signal * x_0", "not divided by sqrt(1 - alpha_bar)"),
    ("/ spread", "/ spread ** 2", "divided by a variance, 1 - alpha_bar: take the square root"),
    ("signal * x_0", "x_0", "the picture is in x_t with the factor sqrt(alpha_bar), not 1"),
    ("signal * x_0", "signal ** 2 * x_0", "the picture is taken away with alpha_bar, its square root was left off"),
    (RIGHT, "(x_t - spread * x_0) / signal", "divided by sqrt(alpha_bar), as for x_0"),
    (RIGHT, "x_t - signal * x_0 / spread", "only the picture is divided: put brackets around the difference"),
    (RIGHT, "(signal * x_0 - x_t) / spread", "the sign is turned round"),
    ("/ spread", "/ signal", "divided by sqrt(alpha_bar): divide by sqrt(1 - alpha_bar)"),
    ("/ spread", "* spread", "multiplied by sqrt(1 - alpha_bar), divide"),
    ("self.check(t, 1,", "self.check(t, 0,", "t = 0 must be refused, x_0 holds no noise: self.check(t, 1, …) does that"),
])  # fmt: skip


@checks.piece("NoiseSchedule.posterior", "Eq. 7: two weights and beta_tilde, from alpha_bars at t and at s, with the whole step's alpha = now / before; per_image shapes them.")
def _(lib):
    posterior = lib.NoiseSchedule(BETAS).posterior
    assert isinstance(posterior(normal(1, 2), 2, normal(1, 2)), tuple), "posterior returns two things: return mean, variance"
    found = of_each_image(lambda x_t, t, x_0: posterior(x_t, t, x_0)[0], 1, "the posterior's mean")
    variance = posterior(normal(3, 2), torch.tensor([1, 2, 5]), normal(3, 2))[1]
    found |= {"the posterior's variance at t = 1, 2, 5": variance.expand(3, 2), "of a step from t = 7 to s = 3": posterior(normal(3, 2), 7, normal(3, 2, seed=1), 3)[0]}
    return found


W_0, W_T, TILDE = "before.sqrt() * beta / (1 - now)", "alpha.sqrt() * (1 - before) / (1 - now)", "(1 - before) / (1 - now) * beta"
checks.mistakes("NoiseSchedule.posterior", [
    (W_T, "now.sqrt() * (1 - before) / (1 - now)", "sqrt(alpha_bar_t) where sqrt(alpha_t) belongs, in the weight of x_t"),
    (W_0, "now.sqrt() * beta / (1 - now)", "alpha_bar_t where alpha_bar_{t-1} belongs, in the weight of x_0"),
    (W_T, "alpha.sqrt()", "alpha_bar_t where alpha_bar_{t-1} belongs, in the weight of x_t"),
    (W_0, "before * beta / (1 - now)", "a square root was left off in the weight of x_0"),
    (W_T, "alpha * (1 - before) / (1 - now)", "a square root was left off in the weight of x_t"),
    ("weight_x_0 * x_0 + weight_x_t * x_t", "weight_x_t * x_0 + weight_x_0 * x_t", "the weights of x_0 and x_t are swapped"),
    ("weight_x_0 * x_0 + weight_x_t * x_t", "per_image(1 - now, x_t) * (weight_x_0 * x_0 + weight_x_t * x_t)", "the weights are not divided by 1 - alpha_bar_t"),
    ("weight_x_0 * x_0 + weight_x_t * x_t", "per_image((1 - now).sqrt(), x_t) * (weight_x_0 * x_0 + weight_x_t * x_t)", "the weights are divided by sqrt(1 - alpha_bar_t), there is no root"),
    (W_0, "before.sqrt() * beta.sqrt() / (1 - now)", "beta_t has no root in the weight of x_0"),
    ("s = self.check_step(t, s, x_t=x_t, x_0=x_0)", "s = (self.check(t, 1, x_t=x_t, x_0=x_0), t - 1)", "s is not used: this goes to t - 1"),
    ("alpha = now / before\n    beta = 1 - alpha", "alpha, beta = (self.alphas[t], self.betas[t])", "alphas[t] and betas[t] belong to one step: the whole step from s to t has alpha = now / before"),
    (f"per_image({W_0}, x_t)", W_0, PER_IMAGE),
    (TILDE, "beta", "this is beta_t, the posterior's variance is beta_tilde_t"),
    (TILDE, f"({TILDE}).sqrt()", "a standard deviation, the variance is its square"),
    (TILDE, "(1 - now) / (1 - before) * beta", "upside down, (1 - alpha_bar_{t-1}) goes above"),
    (TILDE, "before / now * beta", "alpha bars without '1 -'"),
    (TILDE, "(1 - before) / (1 - now)", "the factor beta_t is missing"),
    (TILDE, f"({TILDE}).log()", "its logarithm: the variance itself is asked for"),
    (TILDE, f"({TILDE}).clamp(min=1e-20).log()", "its logarithm, kept from -infinity: the variance itself is asked for"),
    ("weight_x_t * x_t, beta_tilde", "weight_x_t * x_t + beta_tilde.sqrt() * torch.randn_like(x_t), beta_tilde", "the posterior's mean is random: noise is added by the sampler, not here"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    betas = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5], dtype=torch.float64)
    return {"alpha_bar_3 for betas 0.1, 0.2, 0.3, 0.4, 0.5": answer(betas, 3), "alpha_bar_0": answer(betas, 0)}


checks.mistakes(1, [
    (".prod()", ".cumprod(0)", "return one number, alpha_bar at the given t, not the whole array"),
    ("betas[:t]", "betas", "this is the product over all T steps; stop at t"),
    ("betas[:t]", "betas[:t + 1]", "one factor too many: betas[0] is beta_1, so betas[2] is the last one"),
    ("betas[:t]", "betas[:t - 1]", "one factor too few: it is made of betas[0], betas[1] and betas[2]"),
    ("betas[:t]", "betas[1:t]", "beta_1 is left out: it is betas[0], no beta_0 stands in front"),
    ("(1 - betas[:t]).prod()", "1 - betas[t - 1]", "this is alpha_3 alone; alpha_bar_3 is alpha_1 times alpha_2 times alpha_3"),
    ("1 - betas[:t]", "betas[:t]", "this multiplies the betas; multiply the alphas, which are 1 - beta"),
    ("(1 - betas[:t]).prod()", "1 - betas[:t].sum()", "this adds the betas up; the steps multiply, see 'Naive first'"),
    (".prod()", ".prod().sqrt()", "this is its square root: the amplitude, not the share of power"),
    ("(1 - betas[:t]).prod()", "(1 - betas).cumprod(0)[t - 1]", "index -1 is the last entry, not the clean picture"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    schedule, one, zero = page.NoiseSchedule(page.linear_betas(1000)), torch.ones(1, 2).double(), torch.zeros(1, 2).double()
    x_s, noise = answer(schedule, one, 200, 500, zero), answer(schedule, zero, 200, 500, one)
    return {"the factor of x_s, for s = 200 and t = 500": x_s, "the factor of the noise": noise}


LEFT = "schedule.alpha_bars[t] / schedule.alpha_bars[s]"
checks.mistakes(2, [
    (LEFT, "schedule.alpha_bars[t]", "this jumps as if x_s were x_0: sqrt(alpha_bar_t) is for x_0"),
    ("(1 - left)", "(1 - schedule.alpha_bars[t])", "this is the noise of all t steps: only those after s add to x_s"),
    ("(1 - left)", "(schedule.alpha_bars[s] - schedule.alpha_bars[t])", "this forgets that the noise in x_s shrinks on the way"),
    ("left.sqrt() * x_s + (1 - left).sqrt()", "left * x_s + (1 - left)", "this is the product of the alphas itself; a square root is missing"),
    ("(1 - left).sqrt()", "(1 - left)", "the noise is scaled by its variance: take the square root"),
    (LEFT, "schedule.alphas[s:t + 1].prod()", "your product starts at alpha_s; the first step after s has alpha_{s+1}"),
    (LEFT, "schedule.alphas[s + 1:t].prod()", "your product stops one step before t"),
    (LEFT, "schedule.alphas[t]", "this is the single step to t"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    betas = torch.as_tensor(answer(100), dtype=torch.float64)
    assert betas.shape != (101,), "101 betas: leave out beta_0 (or alpha_bar_0), NoiseSchedule puts beta_0 = 0 in front"
    assert betas.shape != (99,), "99 betas: beta_1 is missing, the step from alpha_bar_0 = 1 to alpha_bar_1"
    assert betas.shape == (100,), f"expected 100 betas, shape (100,), got {tuple(betas.shape)}"
    falling = bool((betas.diff() < 0).all())
    assert not (falling and betas[0] > 0.9), "these fall from near 1 to near 0: alpha bars, not betas; beta_t = 1 - alpha_bar_t / alpha_bar_(t-1)"
    assert ((betas > 0) & (betas < 1)).all(), f"betas must lie in (0, 1), got {betas.min():.3g} to {betas.max():.3g}"
    bars = (1 - betas).cumprod(0)
    assert bars[0] >= 0.99, f"the first step is too large: alpha_bar_1 = {bars[0]:.4f}, it must be at least 0.99"
    assert bars[-1] <= 1e-3, f"x_T is not noise: alpha_bar_T = {bars[-1]:.3g}; were these betas meant for more steps?"
    drop, where = (-(bars / (1 - bars)).log().diff()).max(0)
    assert drop <= 0.2, f"the step to t = {where + 2} loses {drop:.2f} nats of log-SNR, more than 0.2: too hasty at the {'start' if where < 50 else 'end'}"


LINE = "torch.linspace(8, -8, T, dtype=torch.float64)"
checks.mistakes(3, [
    (None, "def exercise_3(T):\n    return linear_betas(T)", "more than 0.2: too hasty at the start"),
    (None, "def exercise_3(T):\n    return cosine_betas(T)", "more than 0.2: too hasty at the end"),
    (None, "def exercise_3(T):\n    return torch.linspace(1e-4, 0.02, T)", "were these betas meant for more steps?"),
    ("1 - alpha_bars[1:] / alpha_bars[:-1]", "alpha_bars[1:]", "alpha bars, not betas"),
    ("1 - alpha_bars[1:] / alpha_bars[:-1]", "torch.cat([torch.zeros(1), 1 - alpha_bars[1:] / alpha_bars[:-1]])", "leave out beta_0"),
    ("torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(log_snr)])", "torch.sigmoid(log_snr)", "beta_1 is missing"),
    ("(8, -8", "(3, -8", "the first step is too large"),
])  # fmt: skip
