"""How the exercises of notebook 00 are tried, and which mistakes are known."""

import torch

from course.check import Checks, kind, normal

checks = Checks()


@checks.exercise(1)
def _(answer, page):
    pixels = answer(torch.tensor([-1.1, -1.0, 0.0, 1.0, 1.1]))
    found = {"the type of the pixels": kind(pixels), "the pixels of -1.1, -1, 0, 1 and 1.1": pixels}
    every = torch.arange(256).to(torch.uint8).reshape(16, 16)
    return found | {"the pixel values 0 to 255, there and back": answer(page.to_minus_one_one(every))}


checks.mistakes(1, [
    ("(images.clamp(-1, 1) + 1) * 127.5", "images.clamp(0, 1) * 255", "0 became black: that is the rule for [0, 1]; in [-1, 1] the value 0 is mid-grey"),
    ("images.clamp(-1, 1)", "images", "-1.1 and 1.1 wrapped round: clip to [-1, 1] before the cast"),
    (None, "def exercise_1(images):\n    return ((images + 1) * 127.5).to(torch.uint8)", "-1.1 and 1.1 wrapped round, and 0 became 127: clip to [-1, 1], and round before the cast"),
    (".round()", "", "0 became 127: round before the cast, which cuts off"),
    (".to(torch.uint8)", "", "cast them to torch.uint8 at the end"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    stored = torch.tensor([0.9, 0.72, 0.36, 0.09], dtype=torch.float64)
    return {f"alpha_bar at t = {t}, stored for T = 4": float(answer(stored, t)) for t in (2, 0, 4)}


checks.mistakes(2, [
    ("alphas_cumprod[t - 1]", "alphas_cumprod[t]", "at t = 2 that is the third entry: their index is our t - 1"),
    ("float(alphas_cumprod[t - 1])", "float(1 - alphas_cumprod[t - 1])", "that is 1 - alpha_bar, the variance of the noise"),
    ("alphas_cumprod[t - 1]", "alphas_cumprod[:t].prod()", "that is the product 0.9 * 0.72: the entries are products already"),
    ("1.0 if t == 0 else ", "", "that is the last entry: index -1 counts from the end; the clean picture needs its own case"),
    ("1.0 if", "float(alphas_cumprod[0]) if", "that is the first entry, which has had one step of noise; x_0 has had none"),
])  # fmt: skip


@checks.exercise(3, 1e-4)
def _(answer, page):
    noise, picture = normal(2, 3, 1, 12, 12)
    share = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None, None, None, None]
    means, contrasts = torch.tensor([[-0.9, 0.1, 0.8], [1, 2, 4]], dtype=torch.float64)[:, :, None, None, None]
    return {"the correlation of each frame with the last": answer(contrasts * (share * picture + (1 - share) * noise) + means)}


CENTRED, NORMED = "    x = x - x.mean(dim=2, keepdim=True)\n", "    x = x / x.norm(dim=2, keepdim=True)\n"
checks.mistakes(3, [
    (".mean(dim=1)", "", "one number for each picture and frame: take the mean over the pictures, too"),
    ("x[-1]", "x[0]", "that compares with the first frame: compare with the last, x_0"),
    (CENTRED, "", "that is the cosine: subtract each picture's own mean first"),
    (None, "def exercise_3(trajectory):\n    return torch.corrcoef(trajectory.flatten(1))[-1]", "that is one correlation over the whole batch: take it for each picture"),
    (f"{NORMED}    return (x * x[-1]).sum(dim=2)", "    return (x * x[-1]).mean(dim=2)", "that is the covariance: divide by both standard deviations"),
])  # fmt: skip
