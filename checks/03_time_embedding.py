"""How the pieces and exercises of notebook 03 are tried, and which mistakes are known."""

import math

import torch

from course.check import Checks, kind

checks = Checks()


@checks.piece("sinusoidal_embedding", "dim/2 frequencies from 1 down to 1 / max_period in equal ratios; t times each, (N, dim/2); its sines, then its cosines.", 1e-3)
def _(lib):
    few = lib.sinusoidal_embedding(torch.tensor([1, 2, 3, 5, 7]), 8, 100)  # small, for float32 loses digits of large angles
    late = lib.sinusoidal_embedding(torch.tensor([1, 10, 500, 1000]), 8)
    return {"the embedding of t = 1, 2, 3, 5, 7 with max_period = 100": few, "the embedding of t = 1, 10, 500, 1000": late, "its dtype": kind(few)}


TRANSFORMER = """
def sinusoidal_embedding(t, dim, max_period=10_000):
    k = torch.arange(dim)
    angles = t[:, None] * max_period ** -(2 * (k // 2) / dim)
    return torch.where(k % 2 == 0, angles.sin(), angles.cos())
"""
T, LAST, COLUMN = "t[:, None].float()", "torch.cat([angles.sin(), angles.cos()], dim=1)", "every t meets every frequency: t[:, None] times them is (N, dim/2)"
checks.mistakes("sinusoidal_embedding", [
    ("angles.sin(), angles.cos()", "angles.cos(), angles.sin()", "the cosines come first: sines first"),
    (LAST, "torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)", "sines and cosines take turns: all sines first, then all cosines"),
    (None, TRANSFORMER, "sines and cosines take turns, as in the Transformer: all sines first, and dim/2 - 1 in the exponent"),
    ("(dim // 2 - 1)", "(dim // 2)", "dim/2 where dim/2 - 1 belongs in the exponent: the last frequency must be 1 / max_period"),
    ("torch.arange(dim // 2, dtype=torch.float32, device=t.device) / (dim // 2 - 1)", "torch.arange(1, dim // 2 + 1) / (dim // 2)", "the first frequency must be 1: k runs from 0"),
    (T, "t[:, None] / 1000", "t was scaled to [0, 1]: with period 10000 most columns are constant; take t as it is"),
    ("-math.log", "math.log", "the frequencies rise to max_period: 1 is the highest, 1 / max_period the lowest"),
    ("torch.exp(-math.log(max_period) * exponents)", "torch.linspace(1, 1 / max_period, dim // 2)", "the frequencies lie on a line: they fall in equal ratios, powers of max_period"),
    (T, "2 * math.pi * t[:, None]", "the angles are multiplied by 2 pi: they are t times the frequency"),
    ("math.log(max_period)", "math.log(10_000)", "max_period is not used"),
    (LAST, "torch.where(torch.arange(len(t))[:, None] % 2 == 0, angles.sin().repeat(1, 2), angles.cos().repeat(1, 2))", "sines and cosines alternate over the rows, the times, not over the columns"),
    (LAST, f"{LAST}.T", "rows and columns are swapped: one row for each t"),
    ("dim=1", "dim=0", "the cosines stand below the sines: beside them, dim=1"),
    ("angles.cos()", "angles.sin()", "only sines"),
    (T, "t", COLUMN),
    (f"{T} * frequencies", "frequencies * t", COLUMN),
    (T, "t[:, None].double()", "the embedding must be float32, like the weights it meets"),
])  # fmt: skip


@checks.piece("TimeEmbedding.forward", "The sinusoidal features of t, of width self.dim, in the dtype of the layers' weights, through self.layers.", 1e-4)
def _(lib):
    torch.manual_seed(0)
    net, t = lib.TimeEmbedding(8, 16), torch.tensor([1, 10, 500, 1000])
    return {"TimeEmbedding(8, 16)(t)": net(t), "its dtype in double precision": kind(net.double()(t))}


DTYPE = ".to(self.layers[0].weight.dtype)"
checks.mistakes("TimeEmbedding.forward", [
    (f"self.layers(sinusoidal_embedding(t, self.dim){DTYPE})", "sinusoidal_embedding(t, self.dim)", "the bare features: self.layers is never called"),
    ("(t, self", "(t / 1000, self", "t was scaled to [0, 1]: at those times the features hardly change"),
    ("(t, self", "(t - 1, self", "t is off by one, t - 1"),
    ("self.layers(", "self.layers[0](", "the first linear layer alone"),
    (DTYPE, "", "in double precision it fails: the features need the dtype of self.layers[0].weight"),
])  # fmt: skip


@checks.exercise(1, 1e-3)
def _(answer, page):
    return {"the periods for dim 16, max_period 10,000": answer(16, 10_000), "the periods for dim 8, max_period 100": answer(8, 100)}


checks.mistakes(1, [
    ("2 * math.pi / speeds", "speeds", "these are the speeds, in radians a step; a period is the time for 2 pi radians"),
    ("2 * math.pi / speeds", "1 / speeds", "1 / omega is the time for one radian; a full turn is 2 pi radians"),
    ("(half - 1)", "half", "divide k by dim / 2 - 1, not by dim / 2: the exponent runs from 0 to 1"),
    ("dim // 2", "dim", "one period a clock: it is a sine and a cosine, so there are dim / 2 clocks, not dim"),
    ("2 * math.pi / speeds", "(2 * math.pi / speeds).flip(0)", "the right numbers in the wrong order: the fastest clock comes first"),
    ("math.log(max_period)", "math.log(10_000)", "max_period is typed in: use the argument"),
])  # fmt: skip


@checks.exercise(2, 1e-3)
def _(answer, page):
    later = answer(page.sinusoidal_embedding(torch.tensor([1, 40, 333, 900]), 16), 25)
    return {"the lengths of the codes of t + s, which no rotation changes": torch.linalg.vector_norm(later, dim=-1), "the codes of t + s": later}


CAT = "torch.cat([sin * turn.cos() + cos * turn.sin(), cos * turn.cos() - sin * turn.sin()], dim=1)"
STACK = CAT.replace("cat", "stack").replace("dim=1", "dim=2") + ".flatten(1)"
PAIRS, HALVES = "code[:, ::2], code[:, 1::2]", "code[:, :half], code[:, half:]"
checks.mistakes(2, [
    (CAT, "code", "these are the codes you were given: nothing turned"),
    ("turn = s", "turn = -s", "the hands turn backwards, this is t - s: check the signs of sin(omega s)"),
    (CAT, "code + sinusoidal_embedding(torch.tensor([s]), code.shape[1])", "angles add, sines do not: don't add two codes"),
    (CAT, "code.roll(s, dims=1)", "the code does not move to other dimensions: each pair turns"),
    ("s * torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))", "torch.tensor(s)", "every clock turned by s radians; clock k turns by omega_k s"),
    (f"({HALVES})\n    return {CAT}", f"({PAIRS})\n    return {STACK}", "the cosine of clock k is dimension k + dim / 2, not the sine's neighbour"),
    ("- sin * turn", "+ sin * turn", "no rotation, for it changes lengths: look at the sign of sin(omega s) in your cosines"),
    ("+ cos * turn", "- cos * turn", "no rotation, for it changes lengths: look at the sign of sin(omega s) in your sines"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    design = answer()
    assert isinstance(design, tuple) and len(design) == 2, "return a tuple: (dim, max_period)"
    dim, max_period = design
    assert isinstance(dim, int) and dim >= 4 and dim % 2 == 0, f"dim must be an even integer of at least 4, got {dim}"
    assert dim <= 16, f"dim = {dim} is more than 16 (is the order (dim, max_period)?)"
    assert max_period >= 1, f"max_period must be at least 1, got {max_period}"
    alike = page.similarity_by_gap(dim, max_period)
    near = "too many clocks are fast, so make max_period larger, or add slower clocks"
    assert alike[1] >= 0.9, f"neighbours have similarity {alike[1]:.3f} only: {near}"
    far = f"the slowest clock comes round again within {page.T} steps, so make max_period larger, or add clocks"
    if 2 * math.pi * max_period > 3 * page.T:
        far = "too many clocks hardly move, so make max_period smaller"
    gap = 100 + alike[100:].argmax().item()
    assert alike[gap] <= 0.7, f"times {gap} steps apart have similarity {alike[gap]:.3f}: {far}"


checks.mistakes(3, [
    ("10, 228", "16, 10_000", "too many clocks hardly move, so make max_period smaller"),
    ("10, 228", "16, 2", "too many clocks are fast, so make max_period larger"),
    ("10, 228", "16, 100", "the slowest clock comes round again within 1000 steps"),
    ("10, 228", "4, 10", "or add slower clocks"),
    ("10, 228", "300, 16", "is the order (dim, max_period)"),
    ("10, 228", "15, 300", "dim must be an even integer"),
    ("10, 228", "16, 0.5", "max_period must be at least 1"),
])  # fmt: skip
