"""How the pieces and exercises of notebook 11 are tried, and which mistakes are known."""

import torch

from course.check import Checks, normal, seeded, twice

checks = Checks()


def shaken_network(lib):
    """A small ClassUNet with random weights everywhere, also where it starts at zero and would hide a mistake."""
    model = lib.ClassUNet(3, base_channels=8, channel_multipliers=(1, 2))
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(0.3 * normal(*parameter.shape, seed=seed))
    return model.eval()


@checks.piece("ClassUNet.forward", "The label's row of self.class_embedding, as self.rows(x_t, labels) names it, is added to the embedding of the time; then self.denoise.", 1e-4)
def _(lib):
    model, x_t, t = shaken_network(lib), normal(3, 1, 8, 8).float(), torch.tensor([1, 400, 900])
    found = {"the answer for the labels 0, 2 and none": model(x_t, t, torch.tensor([0, 2, -1]))}
    return found | {"the answer without labels": model(x_t, t)}


SUM = "time + self.class_embedding(self.rows(x_t, labels))"
checks.mistakes("ClassUNet.forward", [
    (SUM, "time", "the label is not used: add its row of self.class_embedding to the time"),
    (SUM, "self.class_embedding(self.rows(x_t, labels))", "the time is lost: the label's row is added to it"),
    ("time + self", "time * self", "the label's row multiplies the time: add it"),
    ("self.rows(x_t, labels)", "labels", "labels may be None or -1: self.rows names the row of each picture"),
    ("self.rows(x_t, labels)", "self.rows(x_t, None)", "the label is not used: every picture gets the row of \"no class\""),
    ("self.rows(x_t, labels)", "labels.clamp(min=0) if labels is not None else self.rows(x_t, None)", "-1 is \"no class\", whose row is the last: self.rows knows it"),
])  # fmt: skip


@checks.piece("drop_labels", "torch.rand for each label; where it is below the probability the label becomes -1, in a new tensor; the random numbers come from the generator.")
def _(lib):
    labels = torch.arange(1000) % 10
    dropped = lib.drop_labels(labels, 0.3, seeded())
    found = {"the labels that were given, afterwards": labels, "the share that is dropped, nearly": round((dropped == -1).double().mean().item(), 1)}
    found |= {"the labels that stay are their own": bool(((dropped == labels) | (dropped == -1)).all()), "dropped with the same seed": twice(lambda: lib.drop_labels(labels, 0.3, seeded()))}
    found |= {f"labels left at probability {p}": int((lib.drop_labels(labels, p, seeded()) >= 0).sum()) for p in (0, 1)}
    return found | {"the dropped labels": dropped}


checks.mistakes("drop_labels", [
    ("< probability", "> probability", "the labels that should stay are dropped: drop where the random number is below the probability"),
    ("torch.rand(labels.shape", "torch.rand(()", "the whole batch is dropped or kept together: draw one number for each label"),
    ("masked_fill", "masked_fill_", "the labels that were given are changed: masked_fill returns new ones"),
    (", generator=generator", "", "it differs from call to call with the same seed: pass the generator on"),
    (", -1)", ", 0)", "0 is a class; \"no class\" is -1"),
    ("torch.rand(", "torch.randn(", "randn where rand belongs: the numbers must lie evenly in 0..1"),
])  # fmt: skip


class Told:
    """A model that answers with a formula of x_t, t and the labels."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x_t, t, labels=None):
        self.calls += 1
        labels = torch.full(x_t.shape[:1], -1) if labels is None else labels
        return 0.5 * x_t + 0.1 * t.double().reshape(-1, 1) + labels.double().reshape(-1, 1) ** 2


@checks.piece("Guided.forward", "Ask the model twice at the same (x_t, t): told, with the labels, and untold, with -1 for each. untold + scale (told - untold).")
def _(lib):
    x_t, t, found = normal(3, 2), torch.tensor([2, 5, 9]), {}
    for scale in (0.0, 1.0, 3.0):
        found[f"the answer at scale {scale:g}"] = lib.Guided(Told(), torch.tensor([3, 0, 2]), scale)(x_t, t)
    found["the answer for one label, 4, at scale 2"] = lib.Guided(Told(), 4, 2.0)(x_t, t)
    model = Told()
    lib.Guided(model, 4, 1.0)(x_t, t)
    return found | {"calls of the model at scale 1": model.calls}


GUIDE = "untold + self.scale * (told - untold)"
checks.mistakes("Guided.forward", [
    (GUIDE, "told + self.scale * (told - untold)", "this is 1 + w where w belongs: start from `untold`"),
    (GUIDE, "untold + self.scale * (untold - told)", "the difference has the wrong sign: told minus untold"),
    (GUIDE, "told", "the scale is not used"),
    (GUIDE, "self.scale * (told - untold)", "`untold` is missing, to which the difference is added"),
    (GUIDE, "untold + self.scale * told", "the difference of both answers belongs there, not `told`"),
    ("torch.full_like(labels, -1)", "torch.zeros_like(labels)", "0 is a class: \"no class\" is -1"),
    ("    if self.scale == 1:\n        return told\n", "", "at scale 1 the second call is not needed: return `told`"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    return {f"our scale for the paper's w = {w}": float(answer(w)) for w in (0.0, 0.5, 3.0)}


checks.mistakes(1, [
    ("1 + w", "w", "at the paper's w = 0 the class is told; at our scale 0 it is ignored"),
    ("1 + w", "w - 1", "the wrong way round: ours is the larger number"),
    ("1 + w", "1 / (1 + w)", "put the paper's formula into the form untold + scale (told - untold) and compare"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    model, x_t = Told(), normal(2, 2)
    in_part = answer(model, 3, 4.0, 300, 700)
    return {f"the answer at t = {t}": in_part(x_t, torch.tensor([t, t])) for t in (200, 300, 500, 700, 900)}


checks.mistakes(2, [
    ("guided if low <= t[0] <= high else told", "told if low <= t[0] <= high else guided", "guided outside and told inside: the other way round"),
    ("low <= t[0] <= high", "low <= t <= high", "t holds one entry a picture: look at t[0]"),
    ("low <= t[0] <= high", "low < t[0] < high", "t = low and t = high belong to the part"),
    ("Guided(model, label, 1)", "Guided(model, label, 0)", "outside the part the class is still told: scale 1, not 0"),
    ("guided if low <= t[0] <= high else told", "guided", "guided everywhere: look at t"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    scale, low, high = answer()
    assert 1 <= low <= high <= page.schedule.T, f"the part goes from a low t to a high one, 1 to {page.schedule.T}; yours is {low} to {high}"
    guided, told = page.Guided(page.toy, 0, scale), page.Guided(page.toy, 0, 1)
    mistaken, spread = page.judge(lambda x_t, t: (guided if low <= t[0] <= high else told)(x_t, t))
    assert mistaken <= 0.02, f"{mistaken:.1%} are of another class: a larger scale, or a longer part"
    assert spread >= 0.85, f"{spread:.0%} of the spread is left: begin the part at a larger t, or take a smaller scale"


checks.mistakes(3, [
    ("4, 401, 800", "4, 1, 1000", "of the spread is left: begin the part"),
    ("401, 800", "1, 400", "of the spread is left: begin the part"),
    ("4, ", "1, ", "are of another class: a larger scale"),
    ("4, ", "1.3, ", "are of another class: a larger scale"),
    ("401, 800", "800, 401", "the part goes from a low t to a high one"),
])  # fmt: skip
