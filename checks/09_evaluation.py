"""The pieces of notebook 09: their hints, and checks that name the classic mistakes."""

import math

import torch

from course.check import (
    assert_close,
    normal,
    piece,
)


def gaussian_features(count=300, seed=0, shift=0.0, scale=1.0):
    spread = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.5]], dtype=torch.float64)
    return scale * normal(count, 3, seed=seed) @ spread.T + shift


@piece(
    "frechet_distance",
    "|mean difference|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). The last trace is the sum of the singular values of root_a @ root_b; a root's sum of squares is tr S. covariance_root gives the roots.",
    slice(1, None),
)
def check_frechet(lib):
    a, b = gaussian_features(), gaussian_features(200, 1, 0.7, 1.5).flip(1)
    s_a, s_b = torch.cov(a.T), torch.cov(b.T)
    means = (a.mean(0) - b.mean(0)).square().sum()
    overlap = torch.linalg.eigvals(s_a @ s_b).real.clamp(min=0).sqrt().sum()
    traces = s_a.trace() + s_b.trace()
    right = means + traces - 2 * overlap
    mistakes = {
        "its square root: the squared distance is asked for": right.sqrt(),
        "the means are left out": traces - 2 * overlap,
        "the covariances are left out": means,
        "the cross term is left out": means + traces,
        "the cross term counts twice": means + traces - overlap,
        "the length of the mean difference, not its square": means.sqrt() + traces - 2 * overlap,
        "the mean of the squared differences of the means: their sum": means / 3 + traces - 2 * overlap,
        "the traces of the roots where those of the covariances belong: a root's sum of squares": means
        + lib.covariance_root(a).trace()
        + lib.covariance_root(b).trace()
        - 2 * overlap,
        "the eigenvalues' roots where the singular values of root_a @ root_b belong": means
        + traces
        - 2 * torch.linalg.eigvals(lib.covariance_root(a) @ lib.covariance_root(b)).real.clamp(min=0).sqrt().sum(),
        "the trace of the product where the trace of its root belongs": means + traces - 2 * (s_a @ s_b).trace(),
        "the root of each entry where the root of the matrix belongs": means
        + traces
        - 2 * (s_a @ s_b).clamp(min=0).sqrt().trace(),
        "the squared difference of the roots: right only where the covariances commute": means
        + (lib.covariance_root(a) - lib.covariance_root(b)).square().sum(),
    }
    got = lib.frechet_distance(a, b)
    assert_close("frechet_distance", got, right, mistakes, 1e-5)
    assert isinstance(got, float), f"frechet_distance must return a float, yours returns {type(got).__name__}"
    assert_close("the distance of a set to itself", lib.frechet_distance(a, a), 0.0, tolerance=1e-6)


@piece(
    "kernel_distance",
    "The mean kernel of different rows within a, plus that within b, minus twice the mean between a and b. kernel_sum adds the kernel over all pairs; take a row's pair with itself out.",
    slice(1, None),
)
def check_kernel_distance(lib):
    a, b = gaussian_features(60), gaussian_features(40, 1, 0.7)

    def kernel(x, y, power=3, divide=3):
        return (x @ y.T / divide + 1) ** power

    def means(x, **options):
        """The mean kernel of different rows."""
        k, n = kernel(x, x, **options), len(x)
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    def distance(inner=means, cross=2, **options):
        return inner(a, **options) + inner(b, **options) - cross * kernel(a, b, **options).mean()

    mistakes = {
        "a row's pair with itself is counted: that is biased, take the diagonal out": distance(
            lambda x: kernel(x, x).mean()
        ),
        "the mean between the sets counts once, it must count twice": distance(cross=1),
        "the mean between the sets is added: take it away": distance(cross=-2),
        "the products are not divided by D": distance(divide=1),
        "the kernel is the square, it must be the cube": distance(power=2),
        "the diagonal is taken out and N^2 still divides: there are N (N - 1) other pairs": distance(
            lambda x: means(x) * (len(x) - 1) / len(x)
        ),
        "its square root": distance().clamp(min=0).sqrt(),
        "a row's kernel with itself is not 1, it is (x . x / D + 1)^3": distance(
            lambda x: (kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))
        ),
        "each pair counts twice in kernel_sum: divide by N (N - 1), not by its half": distance(lambda x: 2 * means(x)),
    }
    got = lib.kernel_distance(a, b)
    assert_close("kernel_distance", got, distance(), mistakes, 1e-6)
    b = gaussian_features(40, 2)  # of one law with a: here the distance is below 0
    assert_close(
        "kernel_distance of two sets of one law",
        lib.kernel_distance(a, b),
        distance(),
        {"it is negative here: don't clamp it": 0.0},
    )
    assert isinstance(got, float), f"kernel_distance must return a float, yours returns {type(got).__name__}"


@piece(
    "share_inside",
    "The radius of each point of the manifold is the distance to its k-th nearest neighbour (torch.cdist, kthvalue; the point itself is the nearest). A point is inside if any ball holds it.",
)
def check_share_inside(lib):
    widths = torch.tensor([0.2, 1.5]).repeat(30)[:, None]  # so that the nearest ball is often a small one
    manifold, points, k = widths * normal(60, 2), 1.6 * normal(50, 2, seed=1), 3

    def share(k=k + 1, of=manifold, how=torch.any, squared=False):
        radii = torch.cdist(of, of).kthvalue(k).values
        between = torch.cdist(points, manifold)
        inside = between <= radii if of is manifold else (between <= radii[:, None])
        return how(inside, dim=1).double().mean()

    near = torch.cdist(points, manifold).kthvalue(k, dim=1).values
    nearest, radii = torch.cdist(points, manifold).min(1), torch.cdist(manifold, manifold).kthvalue(k + 1).values
    inside = torch.cdist(points, manifold) <= radii
    mistakes = {
        "k counts the point itself: its own distance is 0, so ask kthvalue for k + 1": share(k),
        "the radius reaches to neighbour k + 1": share(k + 2),
        "the balls are drawn around `points`: they belong around the manifold": share(of=points),
        "a point must be in all balls: one is enough": share(how=torch.all),
        "the share outside": 1 - share(),
        "the radius is the largest there is: each ball has its own": (
            torch.cdist(points, manifold).amin(1) <= torch.cdist(manifold, manifold).kthvalue(k + 1).values.max()
        )
        .double()
        .mean(),
        "the share of the balls that hold a point: ask of each point, any(dim=1)": inside.any(0).double().mean(),
        "the mean over all pairs: a point is inside if any ball holds it": inside.double().mean(),
        "only the nearest ball was asked: a farther one may be larger": (nearest.values <= radii[nearest.indices])
        .double()
        .mean(),
        "a number of points: divide by how many there are": share() * 50,
        "a mean distance, not a share": near.mean(),
    }
    assert_close("share_inside", lib.share_inside(points, manifold, k), share(), mistakes)


@piece(
    "kl_gaussians",
    "Half of: variance ratio - 1 - its logarithm + squared mean difference over variance_2.",
    slice(1, None),
)
def check_kl(lib):
    cases = [(0.3, 0.5, -0.4, 2.0), (1.0, 3.0, 0.0, 0.7), (0.2, 1.0, 0.2, 1.0)]

    def table(formula):
        return torch.tensor([formula(*case) for case in cases], dtype=torch.float64)

    def kl(m, v, n, w, half=0.5, over=None):
        return half * (v / w - 1 - math.log(v / w) + (m - n) ** 2 / (over or w))

    mistakes = {
        "the two Gaussians are swapped: the divergence of the first from the second": table(
            lambda m, v, n, w: kl(n, w, m, v)
        ),
        "the half is missing": table(lambda *c: kl(*c, half=1)),
        "the variances are taken for standard deviations": table(lambda m, v, n, w: kl(m, v**2, n, w**2)),
        "the mean difference is divided by the first variance: by the second": table(
            lambda m, v, n, w: kl(m, v, n, w, over=v)
        ),
        "the half is missing before the mean difference": table(
            lambda m, v, n, w: kl(m, v, n, w) + (m - n) ** 2 / w / 2
        ),
        "the half is missing before the variances": table(lambda m, v, n, w: 2 * kl(m, v, n, w) - (m - n) ** 2 / w / 2),
        "the mean difference is not squared": table(
            lambda m, v, n, w: kl(m, v, n, w) + (abs(m - n) - (m - n) ** 2) / w / 2
        ),
        "the - 1 is missing": table(lambda m, v, n, w: kl(m, v, n, w) + 0.5),
        "the mean difference is divided by variance_2 squared": table(lambda m, v, n, w: kl(m, v, n, w, over=w**2)),
        "log2: nats have the natural logarithm": table(
            lambda m, v, n, w: kl(m, v, n, w) + (math.log(v / w) - math.log2(v / w)) / 2
        ),
        "bits: nats are asked for": table(lambda *c: kl(*c) / math.log(2)),
        "the logarithm is added: take it away": table(lambda m, v, n, w: kl(m, v, n, w) + math.log(v / w)),
    }
    m, v, n, w = torch.tensor(cases, dtype=torch.float64).T
    assert_close("kl_gaussians", lib.kl_gaussians(m, v, n, w), table(kl), mistakes)
