"""How the pieces and exercises of notebook 01 are tried, and which mistakes are known."""

import torch

from course.check import Checks, kind, moments, seeded, twice

checks = Checks()


def draws(draw):
    """Whether `draw(generator)` gives the same for one seed, and for two."""
    seeds = iter((0, 1))
    return {"a draw with one seed, twice": twice(lambda: draw(seeded())), "draws with two seeds": twice(lambda: draw(seeded(next(seeds))))}


@checks.piece("noise_step", "Eq. 2 as one line: mean plus standard deviation times noise. `noise_like(x, generator)` draws the noise.")
def _(lib):
    x = torch.full((400, 500), 2.0)
    x_t = lib.noise_step(x, 0.02, seeded())
    found = {"x_t (from x = 2 with beta = 0.02)": moments(x_t), "its shape": str(tuple(x_t.shape)), "its dtype": kind(x_t), "x, afterwards": x}
    return found | draws(lambda generator: lib.noise_step(x[:3], 0.02, generator))


checks.mistakes("noise_step", [
    ("beta ** 0.5 * noise", "beta * noise", "beta where its square root belongs, a variance taken for a standard deviation"),
    ("noise_like(x, generator)", "torch.rand(x.shape, generator=generator)", "uniform noise (rand) where normal noise (randn) belongs"),
    ("(1 - beta) ** 0.5 * x", "x", "nothing shrinks: x needs the factor sqrt(1 - beta)"),
    ("(1 - beta) ** 0.5", "(1 - beta)", "x shrinks by 1 - beta, the square root was left off"),
    ("(1 - beta) ** 0.5 * x + beta ** 0.5", "beta ** 0.5 * x + (1 - beta) ** 0.5", "the two coefficients are swapped"),
    ("+ beta ** 0.5", "+ beta ** 0.25", "a square root too many on the noise"),
    ("(1 - beta) ** 0.5 * x + beta ** 0.5", "(1 - beta) * x + beta", "both square roots were left off"),
    ("beta ** 0.5 * noise", "noise", "the noise is not scaled: it needs the factor sqrt(beta)"),
    ("(1 - beta) ** 0.5", "(1 - beta ** 0.5)", "1 - sqrt(beta) where sqrt(1 - beta) belongs, in front of x"),
    ("noise_like(x, generator)", "torch.randn(1, generator=generator)", "all entries of x_t are alike: draw new noise for every entry"),
    ("(1 - beta) ** 0.5 * x", "x.mul_((1 - beta) ** 0.5)", "noise_step changes the tensor that it is given: make a new one"),
    ("noise_like(x, generator)", "noise_like(x)", "noise_step differs from call to call with the same seed: pass the generator on"),
    ("noise_like(x, generator)", "noise_like(x, torch.Generator().manual_seed(0))", "noise_step is the same for every seed: draw its noise from the generator"),
])  # fmt: skip


@checks.piece("noise_chain", "Begin the list with x_0, append a noise_step of the last state for every beta of check_betas(betas).tolist(), and stack the list.")
def _(lib):
    x_0, betas = torch.full((200, 500), 2.0), [0.1, 0.3, 0.6]
    chain = lib.noise_chain(x_0, betas, seeded())
    found = {"what noise_chain returns": kind(chain), "the number of states, from three betas": len(chain)}
    found |= {f"state {t} of your chain (from x_0 = 2)": moments(state) for t, state in enumerate(chain[:4])}
    return found | draws(lambda generator: torch.stack(list(lib.noise_chain(x_0[:3], betas, generator))))


STEP, FIRST = "noise_step(states[-1], beta, generator)", "check_betas(betas).tolist()[0]"
LOOP = f"for beta in check_betas(betas).tolist():\n        states.append({STEP})"
checks.mistakes("noise_chain", [
    ("torch.stack(states)", "states", "noise_chain returns a list: stack its states, torch.stack(...)"),
    ("torch.stack(states)", "states[-1]", "noise_chain returns one state: stack all of them, x_0 first"),
    ("torch.stack(states)", "torch.stack(states[1:])", "noise_chain has T states where T + 1 belong: x_0 is the first of them, x_T the last"),
    ("torch.stack(states)", "torch.stack(states[::-1])", "noise_chain runs backwards: x_0 comes first"),
    ("states = [x_0]", f"states = [noise_step(x_0, {FIRST}, generator)]", "the first state must be x_0 itself, without noise"),
    ("states[-1]", "x_0", "every step starts from x_0: start each from the state before"),
    (".tolist()", ".tolist()[::-1]", "the betas run backwards: beta_1 comes first"),
    (STEP, f"noise_step(states[-1], {FIRST}, generator)", "the first beta in every step"),
    (LOOP, f"noise = noise_like(x_0, generator)\n    {LOOP}".replace(STEP, "(1 - beta) ** 0.5 * states[-1] + beta ** 0.5 * noise"), "the same noise in every step: each must draw its own"),
    ("beta, generator)", "beta)", "noise_chain differs from call to call with the same seed: pass the generator on"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    return {"your variance, from 3 by betas 0.1 and 0.4": float(answer(3.0, [0.1, 0.4])), "a variance of 1, after five steps": float(answer(1.0, [0.3] * 5))}


checks.mistakes(1, [
    ("(1 - beta) * variance", "variance", "nothing shrinks in your chain: scale the old variance before you add beta"),
    ("(1 - beta)", "(1 - beta) ** 0.5", "scaling x by sqrt(1-beta) scales its variance by 1-beta"),
    ("(1 - beta)", "(1 - beta) ** 2", "squared once too often: the old variance is scaled by 1-beta"),
    ("variance + beta", "variance + beta ** 0.5", "the noise adds its variance, beta, not its standard deviation"),
    ("variance + beta", "variance + beta ** 2", "the noise adds its variance, which is beta already: don't square it"),
    ("variance + beta", "variance", "you only scaled: the noise of each step is missing"),
    ("in betas", "in betas[:1]", "only the first step is in it: go through all betas"),
    ("in betas", "in betas[-1:]", "only the last step is in it: each step starts from the variance before it"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    x_0, betas = torch.full((400, 500), 2.0), torch.tensor([0.05, 0.5, 0.2, 0.4], dtype=torch.float64)
    x = answer(x_0, betas, 2, seeded())
    found = {"x_2 (from x_0 = 2)": moments(x), "its shape": str(tuple(x.shape)), "x_0, afterwards": x_0}
    return found | draws(lambda generator: answer(x_0[:3], betas, 2, generator)) | {"x_t for t = 0": answer(x_0, betas, 0, None)}


STEP, CHAIN = "noise_step(x, beta, generator)", "noise_chain(x_0, betas[:t], generator)"
LOOP, DRAWN = f"for beta in betas[:t]:\n        x = {STEP}", "noise_like(x, generator)"
checks.mistakes(2, [
    ("return x", f"return {CHAIN} if t else x_0[None]", "you returned the whole chain: return its last state alone"),
    ("return x", f"return {CHAIN}[-1]", "for t = 0 there is no chain: give x_0 back"),
    ("betas[:t]", "betas[:t - 1]", "one step too few: x_2 has been through beta_1 and beta_2"),
    ("betas[:t]", "betas[:t + 1]", "one step too many: x_2 has been through beta_1 and beta_2 only"),
    ("betas[:t]", "betas[1:t + 1]", "shifted by one: betas[0] is beta_1, the first step uses it"),
    ("betas[:t]", "betas", "t is ignored: you ran the whole chain"),
    (LOOP, f"noise = noise_like(x_0, generator)\n    {LOOP}".replace(STEP, "(1 - beta) ** 0.5 * x + beta ** 0.5 * noise"), "the same noise in every step: draw new noise each time"),
    (STEP, "(1 - beta) ** 0.5 * x + beta ** 0.5 * torch.rand(x.shape, generator=generator)", "the mean of the noise must be 0 (randn, not rand)"),
    (STEP, f"x + beta ** 0.5 * {DRAWN}", "nothing shrinks in your chain: the factor sqrt(1-beta) is missing"),
    (STEP, f"(1 - beta) ** 0.5 * x + beta * {DRAWN}", "the noise is too weak: multiply it by sqrt(beta), not by beta"),
    (STEP, "(1 - beta) ** 0.5 * x + beta ** 0.5 * torch.randn(1, generator=generator)", "all entries got the same noise: draw one number for each"),
    (STEP, f"x.mul_((1 - beta) ** 0.5) + beta ** 0.5 * {DRAWN}", "your function changed x_0 itself: make a new tensor in each step"),
    (", generator)\n", ")\n", "the same seed gave two results: hand `generator` on to what draws the noise"),
    (STEP, "noise_step(x, beta, torch.Generator().manual_seed(0))", "two seeds gave the same result: use the generator you are given"),
])  # fmt: skip


@checks.exercise(3, 1e-4)
def _(answer, page):
    found = {}
    for T in (10, 100, 1000):
        kept = (T * torch.log1p(-torch.as_tensor(answer(T)).double())).exp()  # of the variance of x_0; NaN for a beta above 1
        found[f"T = {T}: the bits that are left (a larger beta leaves fewer)"] = 0.5 * torch.log2(1 / (1 - kept))
    return found


checks.mistakes(3, [
    ("return high", "return 2.0", "beta must lie in (0, 1)"),
    ("torch.log2", "torch.log", "that is 0.01 nats; the question is about bits (log2)"),
    ("0.5 * ", "", "half of what is allowed: is the 1/2 in front of the log2 missing?"),
    ("return high", "return 0.02", "beta is too small (fewer steps need a larger beta)"),
    ("return high", "return 20 / (T + 20)", "beta is larger than needed"),
    ("return high", "return 1 / (T * (2 ** 0.02 - 1))", "that is the answer for the naive chain: with sqrt(1-beta) the signal shrinks too"),
])  # fmt: skip
