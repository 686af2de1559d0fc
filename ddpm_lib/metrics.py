# Exported from notebooks/09_evaluation.ipynb: edit the notebook, not this file.
"""Rulers for any features, and for any model: Fréchet and kernel distance, precision and recall, bits per dimension."""

import math
from itertools import pairwise

import torch
from tqdm import tqdm

from ddpm_lib.forward import check_float, noise_like
from ddpm_lib.sampling import predict
from ddpm_lib.schedule import check_integer, per_image


def check_features(**features):
    """Check two or more sets of features `(N, D)`, N > 1, of one width; return them in float64 on the CPU."""
    (first, a), *_ = features.items()
    for name, f in features.items():
        check_float(name, f)
        if f.ndim != 2 or len(f) < 2:
            raise ValueError(f"{name} must have shape (N, D) with N > 1, got {tuple(f.shape)}")
        if f.shape[1] != a.shape[1]:
            raise ValueError(f"{name} must have as many columns as {first}, {a.shape[1]}, got {f.shape[1]}")
        if not torch.isfinite(f).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return [f.detach().cpu().double() for f in features.values()]


def covariance_root(features):
    """The symmetric square root of the covariance of `features` `(N, D)`: `(D, D)`."""
    centred = features - features.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(features) - 1))
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def frechet_distance(features_a, features_b):
    """The squared Fréchet distance between the Gaussians with the means and covariances of two sets of features.

    `features_a` `(N, D)`, `features_b` `(M, D)`, N and M at least 2. Returns a float, at least 0; computed in float64.
    """
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    overlap = torch.linalg.svdvals(root_a @ root_b).sum()  # tr (S_a S_b)^(1/2)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * overlap  # |root|^2 = tr S
    return max(0.0, ((a.mean(0) - b.mean(0)).square().sum() + spread).item())


def kernel_sum(a, b):
    """The sum of (x . y / D + 1)^3 over all pairs of rows x of `a` and y of `b`, a hundred rows at a time."""
    return sum(((rows @ b.T / a.shape[1] + 1) ** 3).sum() for rows in a.split(100))


def kernel_distance(features_a, features_b):
    """The kernel distance (KID) of Bińkowski et al. 2018: the squared maximum mean discrepancy with k(x, y) = (x . y / D + 1)^3.

    `features_a` `(N, D)`, `features_b` `(M, D)`. Returns a float; unbiased, so it can be a little below 0.
    """
    a, b = check_features(features_a=features_a, features_b=features_b)

    def mean_of_other_pairs(x):  # without the pairs of a row with itself
        own = ((x.square().sum(1) / x.shape[1] + 1) ** 3).sum()
        return (kernel_sum(x, x) - own) / (len(x) * (len(x) - 1))

    return (mean_of_other_pairs(a) + mean_of_other_pairs(b) - 2 * kernel_sum(a, b) / (len(a) * len(b))).item()


def share_inside(points, manifold, k):
    """The share of `points` that lie in a ball around a point of `manifold` that reaches to its k-th nearest neighbour."""
    radii = torch.cat([torch.cdist(rows, manifold).kthvalue(k + 1).values for rows in manifold.split(1000)])
    inside = [(torch.cdist(rows, manifold) <= radii).any(1) for rows in points.split(1000)]
    return torch.cat(inside).double().mean().item()


def precision_recall(features_samples, features_real, k=3):
    """Improved precision and recall (Kynkäänniemi et al. 2019): `(precision, recall)`, floats in [0, 1].

    Precision: the share of samples within the real manifold. Recall: the share of real ones within the samples' manifold.
    Both sets `(N, D)` with N > k; compare only figures that were made with equal N.
    """
    samples, real = check_features(features_samples=features_samples, features_real=features_real)
    k = check_integer("k", k, 1, min(len(samples), len(real)) - 1)
    return share_inside(samples, real, k), share_inside(real, samples, k)


def frechet_floor(n, features_reference, features_unseen):
    """The Fréchet distance of `n` real pictures to the reference: what a perfect model would score.

    The mean over as many disjoint draws from `features_unseen` `(M, D)`, features of other real pictures, as there are, at
    most 10; n in 2..M.
    """
    n = check_integer("n", n, 2, len(features_unseen))
    draws = features_unseen[: n * min(10, len(features_unseen) // n)].split(n)
    return sum(frechet_distance(draw, features_reference) for draw in draws) / len(draws)


def compare_features(features_samples, features_reference, features_unseen):
    """How far n samples `(n, D)` are from a reference `(M, D)`, beside n unseen real ones of `(L, D)`, n <= L: a dict as from `evaluate`."""
    n, reference = len(features_samples), features_reference
    frechet, floor = frechet_distance(features_samples, reference), frechet_floor(n, reference, features_unseen)
    result = {"n": n, "frechet": frechet, "floor": floor, "ratio": frechet / floor}
    most = min(n, len(reference), 2000)
    for suffix, some in (("", features_samples), ("_real", features_unseen[:n])):
        result["kernel_distance" + suffix] = kernel_distance(some, reference)
        result["precision" + suffix], result["recall" + suffix] = precision_recall(some[:most], reference[:most])
    return result


def log_bin_probability(x, mean, spread):
    """log of the probability that a Gaussian gives to the grey level of `x` (Eq. 13), elementwise, in nats.

    `x` holds levels 2k/255 - 1; `mean` and `spread` (above 0) broadcast with it. The bins are 2/255 wide, and those at
    -1 and 1 are open to the outside.
    """
    low = ((x - 1 / 255 - mean) / spread).masked_fill(x < -1 + 1 / 255, -math.inf)
    high = ((x + 1 / 255 - mean) / spread).masked_fill(x > 1 - 1 / 255, math.inf)
    flip = low > 0  # work in the left tail, where the logarithms stay exact
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    larger = torch.special.log_ndtr(high)
    return larger + torch.log1p(-torch.exp(torch.special.log_ndtr(low) - larger))


def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    """The Kullback-Leibler divergence of N(mean_1, variance_1) from N(mean_2, variance_2), elementwise, in nats."""
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return (ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_2) / 2


def time_strata(T, count):
    """Cut the times 2..T into `count` strata, longer and longer: a list of `count + 1` edges, stratum i is edges[i] <= t < edges[i + 1]."""
    count, edges = check_integer("times", count, 1, T - 1), [2]
    for left in range(count, 0, -1):
        growth = ((T + 1) / edges[-1]) ** (1 / left)
        edges.append(max(edges[-1] + 1, int(edges[-1] * growth + 1e-9)))
    return edges


def step_nats(model, schedule, x_0, t, variance, clip, generator):
    """One draw of the bound's term of the step from t to t - 1, for every image: `(N,)`, in nats; t is `(N,)`, in 1..T.

    For t > 1 the divergence L_{t-1} (Eq. 5); where all t are 1 the decoder's -log p(x_0 | x_1) (Eq. 13), with variance beta_1.
    """
    x_t = schedule.add_noise(x_0, t, noise_like(x_0, generator))
    guess, _ = predict(model, x_t, t, schedule, clip)
    x_0, x_t, guess = (x.cpu().double() for x in (x_0, x_t, guess))
    beta = per_image(schedule.betas[t], x_0)
    if (t == 1).all():
        return -log_bin_probability(x_0, guess, beta.sqrt()).flatten(1).sum(1)
    mean, beta_tilde = schedule.posterior(x_t, t, x_0)
    own = beta_tilde if variance == "beta_tilde" else beta
    return kl_gaussians(mean, beta_tilde, schedule.posterior(x_t, t, guess)[0], own).flatten(1).sum(1)


def check_levels(images):
    """Raise TypeError or ValueError unless `images` is a float batch `(N, ...)` of the 256 levels 2k/255 - 1."""
    check_float("images", images)
    levels = (images.detach().cpu().double() + 1) * 127.5
    if images.ndim < 2 or not ((levels - levels.round().clamp(0, 255)).abs() < 0.01).all():  # NaN fails too
        raise ValueError(
            "images must have shape (N, C, H, W) or (N, D) and hold the 256 grey levels 2k/255 - 1, as `load_images` gives them, "
            f"got shape {tuple(images.shape)} and values from {images.min():.3g} to {images.max():.3g}"
        )


def prior_nats(schedule, x_0):
    """L_T for every image: the divergence of q(x_T | x_0) from standard normal noise, `(N,)`, in nats."""
    end, x_0 = schedule.alpha_bars[-1], x_0.cpu().double()
    return kl_gaussians(end.sqrt() * x_0, 1 - end, torch.zeros(()), 1.0).flatten(1).sum(1)


@torch.no_grad()
def bits_per_dim(model, schedule, images, variance="beta_tilde", clip=True, times=None, generator=None, progress=True):
    """The variational bound on -log2 p(images) per number in an image (Eq. 5), term by term, for the sampler of that `variance`.

    `images`: float `(N, C, H, W)` or `(N, D)`, of the 256 levels 2k/255 - 1. Each L_{t-1} is estimated from one draw of x_t
    an image: at every t (`times=None`), or at one random t from each of `times` strata (`time_strata`); both are unbiased.
    Returns a dict, in bits per dimension: `bits` (the bound) and its `standard_error` over the images (NaN for one);
    `prior` (L_T); `decoder` (L_0); `terms` `(T + 1,)` float64, where terms[t] belongs to the step from t to t - 1 (terms[1] is
    the decoder; within a stratum all are its mean), so that bits = prior + terms.sum(); and `per_image` `(N,)`.
    """
    check_levels(images)
    if variance not in ("beta_tilde", "beta"):
        raise ValueError(f"variance must be 'beta_tilde' or 'beta', got {variance!r}")
    edges = [1, *(range(2, schedule.T + 2) if times is None else time_strata(schedule.T, times))]
    unit, device = math.log(2) * images[0].numel(), "cpu" if generator is None else generator.device
    prior, terms = prior_nats(schedule, images) / unit, torch.zeros(schedule.T + 1, dtype=torch.float64)
    total = prior.clone()
    for low, high in tqdm(list(pairwise(edges)), desc="bits", disable=not progress):
        t = torch.randint(low, high, (len(images),), generator=generator, device=device).cpu()
        bits = step_nats(model, schedule, images, t, variance, clip, generator) / unit
        terms[low:high] = bits.mean()
        total += (high - low) * bits
    error = (total.std() / len(images) ** 0.5).item() if len(images) > 1 else math.nan
    result = {"bits": total.mean().item(), "standard_error": error, "prior": prior.mean().item()}
    return result | {"decoder": terms[1].item(), "terms": terms, "per_image": total}
