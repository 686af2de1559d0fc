"""How the pieces and exercises of notebook 09 are tried, and which mistakes are known."""

import torch

from course.check import Checks, kind, normal

checks = Checks()
SHAPE = torch.tensor([[1.0, 0.5, -0.3], [0.0, 0.8, 0.2], [0.0, 0.0, 0.5]], dtype=torch.float64)
A, B = normal(60, 3) @ SHAPE, (0.7 + 1.5 * normal(40, 3, seed=1) @ SHAPE).flip(1)  # two sets of features whose covariances do not commute


@checks.piece("frechet_distance", "|mean difference|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). The last trace is the sum of the singular values of root_a @ root_b; "
    "a root's sum of squares is tr S. covariance_root gives the roots.", 1e-5)  # fmt: skip
def _(lib):
    found = {"frechet_distance": float(lib.frechet_distance(A, B)), "the distance of a set to itself": float(lib.frechet_distance(A, A))}
    return found | {"its type": kind(lib.frechet_distance(A, B))}


MEANS, TRACES, OVERLAP = "(a.mean(0) - b.mean(0)).square().sum()", "root_a.square().sum() + root_b.square().sum()", "torch.linalg.svdvals(root_a @ root_b).sum()"
checks.mistakes("frechet_distance", [
    ("+ spread).item()", "+ spread).item() ** 0.5", "its square root: the squared distance is asked for"),
    (f"{MEANS} + ", "", "the means are left out"),
    (" + spread)", ")", "the covariances are left out"),
    (" - 2 * overlap", "", "the cross term is left out"),
    ("2 * overlap", "overlap", "the cross term counts once, it must count twice"),
    (MEANS, "(a.mean(0) - b.mean(0)).norm()", "the length of the mean difference, not its square"),
    (MEANS, "(a.mean(0) - b.mean(0)).square().mean()", "the mean of the squared differences of the means: their sum"),
    (TRACES, "root_a.trace() + root_b.trace()", "the traces of the roots where those of the covariances belong: a root's sum of squares"),
    (OVERLAP, "torch.linalg.eigvals(root_a @ root_b).real.clamp(min=0).sqrt().sum()", "the eigenvalues' roots where the singular values of root_a @ root_b belong"),
    (OVERLAP, "(a.T.cov() @ b.T.cov()).trace()", "the trace of the product where the trace of its root belongs"),
    (OVERLAP, "(a.T.cov() @ b.T.cov()).clamp(min=0).sqrt().trace()", "the root of each entry where the root of the matrix belongs"),
    (f"{TRACES} - 2 * overlap", "(root_a - root_b).square().sum()", "the squared difference of the roots: right only where the covariances commute"),
    (".item())", ")", "frechet_distance must return a float"),
])  # fmt: skip


@checks.piece("kernel_distance", "The mean kernel of different rows within a, plus that within b, minus twice the mean between a and b. kernel_sum adds the kernel "
    "over all pairs; take a row's pair with itself out.")  # fmt: skip
def _(lib):
    found = {"kernel_distance": float(lib.kernel_distance(A, B))}
    found["kernel_distance of two sets of one law"] = float(lib.kernel_distance(A, normal(40, 3, seed=2) @ SHAPE))  # it is below 0
    return found | {"its type": kind(lib.kernel_distance(A, B))}


OTHERS, OWN = "(kernel_sum(x, x) - own) / (len(x) * (len(x) - 1))", "((x.square().sum(1) / x.shape[1] + 1) ** 3).sum()"
checks.mistakes("kernel_distance", [
    (OTHERS, "kernel_sum(x, x) / len(x) ** 2", "a row's pair with itself is counted: that is biased, take the diagonal out"),
    ("- 2 * kernel_sum", "- kernel_sum", "the mean between the sets counts once, it must count twice"),
    ("- 2 * kernel_sum", "+ 2 * kernel_sum", "the mean between the sets is added: take it away"),
    (" / x.shape[1]", "", "the products are not divided by D"),
    ("** 3", "** 2", "the kernel is the square, it must be the cube"),
    ("(len(x) * (len(x) - 1))", "len(x) ** 2", "the diagonal is taken out and N^2 still divides: there are N (N - 1) other pairs"),
    (".item()", ".clamp(min=0).sqrt().item()", "its square root"),
    (OWN, "len(x)", "a row's kernel with itself is not 1, it is (x . x / D + 1)^3"),
    ("(len(x) * (len(x) - 1))", "(len(x) * (len(x) - 1) / 2)", "each pair counts twice in kernel_sum: divide by N (N - 1), not by its half"),
    (".item()", ".clamp(min=0).item()", "it is negative here: don't clamp it"),
    (".item()", "", "kernel_distance must return a float"),
])  # fmt: skip


@checks.piece("share_inside", "The radius of each point of the manifold is the distance to its k-th nearest neighbour (torch.cdist, kthvalue; the point itself "
    "is the nearest). A point is inside if any ball holds it.")  # fmt: skip
def _(lib):
    widths = torch.tensor([0.2, 1.5]).repeat(30)[:, None]  # so that the nearest ball is often a small one
    return {"share_inside": float(lib.share_inside(1.6 * normal(50, 2, seed=1), widths * normal(60, 2), 3))}


RADII, INSIDE = "torch.cat([torch.cdist(rows, manifold).kthvalue(k + 1).values for rows in manifold.split(1000)])", "(torch.cdist(rows, manifold) <= radii).any(1)"
checks.mistakes("share_inside", [
    ("k + 1", "k", "k counts the point itself: its own distance is 0, so ask kthvalue for k + 1"),
    ("k + 1", "k + 2", "the radius reaches to neighbour k + 1"),
    (RADII, "torch.cdist(points, points).kthvalue(k + 1).values[:, None]", "the balls are drawn around `points`: they belong around the manifold"),
    (".any(1)", ".all(1)", "a point must be in all balls: one is enough"),
    ("torch.cat(inside)", "(~torch.cat(inside))", "the share outside"),
    ("<= radii", "<= radii.max()", "the radius is the largest there is: each ball has its own"),
    (".any(1)", ".any(0)", "the share of the balls that hold a point: ask of each point, any(dim=1)"),
    (".any(1)", "", "the mean over all pairs: a point is inside if any ball holds it"),
    (INSIDE, "torch.cdist(rows, manifold).amin(1) <= radii[torch.cdist(rows, manifold).argmin(1)]", "only the nearest ball was asked: a farther one may be larger"),
    (".mean()", ".sum()", "a number of points: divide by how many there are"),
])  # fmt: skip


@checks.piece("kl_gaussians", "Half of: variance ratio - 1 - its logarithm + squared mean difference over variance_2.")
def _(lib):
    cases = torch.tensor([(0.3, 0.5, -0.4, 2.0), (1.0, 3.0, 0.0, 0.7), (0.2, 1.0, 0.2, 1.0)], dtype=torch.float64)
    return {"kl_gaussians": lib.kl_gaussians(*cases.T)}


RATIO, KL = "    ratio = ", "(ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_2) / 2"
checks.mistakes("kl_gaussians", [
    (RATIO, f"    mean_1, variance_1, mean_2, variance_2 = mean_2, variance_2, mean_1, variance_1\n{RATIO}", "the two Gaussians are swapped: the divergence of the first from the second"),
    (KL, KL.removesuffix(" / 2"), "the half is missing"),
    (RATIO, f"    variance_1, variance_2 = variance_1 ** 2, variance_2 ** 2\n{RATIO}", "the variances are taken for standard deviations"),
    ("/ variance_2) / 2", "/ variance_1) / 2", "the mean difference is divided by the first variance: by the second"),
    (KL, "(ratio - 1 - ratio.log()) / 2 + (mean_1 - mean_2).square() / variance_2", "the half is missing before the mean difference"),
    (KL, "ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_2 / 2", "the half is missing before the variances"),
    (".square()", ".abs()", "the mean difference is not squared"),
    ("ratio - 1 -", "ratio -", "the - 1 is missing"),
    ("/ variance_2) / 2", "/ variance_2 ** 2) / 2", "the mean difference is divided by variance_2 squared"),
    (".log()", ".log2()", "log2: nats have the natural logarithm"),
    (KL, f"{KL} / math.log(2)", "bits: nats are asked for"),
    ("- ratio.log()", "+ ratio.log()", "the logarithm is added: take it away"),
])  # fmt: skip


@checks.exercise(1, 1e-2)  # a standard deviation may divide by N, too
def _(answer, page):
    a, far, narrow = normal(50), 2 + 3 * normal(80, seed=1), 1 + 0.3 * normal(80, seed=2)
    return {"for means 0 and 2, standard deviations 1 and 3, it": float(answer(a, far)), "for means 0 and 1, standard deviations 1 and 0.3, it": float(answer(a, narrow))}


SPREADS = "(a.std() - b.std()) ** 2"
checks.mistakes(1, [
    (SPREADS, "(a.var() - b.var()) ** 2", "these are the variances: compare the standard deviations"),
    (SPREADS, "(a.var() - b.var()).abs()", "the trace is not the difference of the variances: look for a square"),
    (f" + {SPREADS}", "", "only the means are compared; equal means with different spreads are not alike"),
    (SPREADS, "a.var() + b.var()", "the term -2 (S_a S_b)^(1/2) is missing"),
    (".item()", ".sqrt().item()", "that is the distance; the figure in use is its square"),
    ("(a.mean() - b.mean()) ** 2", "(a.mean() - b.mean()).abs()", "the difference of the means must be squared too"),
])  # fmt: skip


@checks.exercise(2)
def _(answer, page):
    def points(*places):
        return torch.tensor([[place, 0.0] for place in places], dtype=torch.float64)

    real = points(*range(10))
    cases = {
        "samples equal to the real points": real,
        "samples far away": real + 1000,
        "five samples, two near the first real points and three far out": points(0, 1, 100, 101, 102),
        "five samples in one place, in the balls of the first two real points only": points(-0.5, -0.5, -0.5, -0.5, -0.5),
    }
    return {f"{name}: the coverage": float(answer(samples, real, 3)) for name, samples in cases.items()}


HELD = "(torch.cdist(samples, real) <= radii).any(0).double().mean()"
checks.mistakes(2, [
    (".any(0)", ".any(1)", "that is precision, the share of samples inside: take the share of real points"),
    (None, "def exercise_2(samples, real, k=3):\n    return share_inside(real, samples, k)", "that is recall, with balls around the samples: they belong to the real points"),
    ("k + 1", "k", "your balls are too small: each point is its own nearest, at distance 0"),
    (HELD, "((torch.cdist(samples, real) <= radii).sum() / len(real))", "you counted samples: count each real point once, however many it holds"),
])  # fmt: skip


@checks.exercise(3)
def _(answer, page):
    got, few = answer(page.few.clone()), page.few
    shape = tuple(getattr(got, "shape", ()))
    assert shape == tuple(few.shape), f"return pictures of shape {tuple(few.shape)}, got {shape}"
    assert got.abs().max() <= 1, f"pictures lie in [-1, 1], got values from {got.min():.2f} to {got.max():.2f}"
    change = (got - few).square().mean((1, 2, 3)).sqrt()
    middle, unchanged = change.median(), (change < 0.01).sum()
    assert middle >= 0.08, f"the median picture is changed by {middle:.3f} only, and 0.08 is asked for: be bolder"
    assert unchanged == 0, f"{unchanged} of the pictures are as they were: change every one of them"
    exchanged = "these are training pictures again: change the given ones, do not exchange them"
    assert page.nearest_training_images(got[:50])[0].max() > 1e-6, exchanged
    ratio, advice = page.in_floors(got), "less than 1.5 are asked for. What would a classifier of garments not look at?"
    assert ratio < 1.5, f"the ruler sees it: {ratio:.1f} floors, and {advice}"


FOOLED = "(pictures + 1) * 0.87 - 1"
checks.mistakes(3, [
    (FOOLED, "pictures", "the median picture is changed by 0.000 only"),
    (FOOLED, "(pictures + 0.15 * torch.randn_like(pictures)).clamp(-1, 1)", "the ruler sees it"),
    (FOOLED, "pictures * 1.2", "pictures lie in [-1, 1]"),
    (FOOLED, "train_images[:1000]", "these are training pictures again"),
    (FOOLED, "torch.cat([pictures[:700] * 0.85 - 0.15, pictures[700:]])", "of the pictures are as they were"),
    (FOOLED, "pictures[:10]", "return pictures of shape (1000, 1, 28, 28)"),
])  # fmt: skip
