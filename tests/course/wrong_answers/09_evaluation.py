# frechet_distance: not squared => its square root
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item() ** 0.5


# frechet_distance: the roots compared => right only where the covariances commute
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    spread = (covariance_root(a) - covariance_root(b)).square().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()


# frechet_distance: the mean of the squares of the means => the mean of the squared differences of the means: their sum
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().mean() + spread).item()


# frechet_distance: trace of the roots => the traces of the roots where those of the covariances belong
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.trace() + root_b.trace() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()


# frechet_distance: eigenvalues of the product of roots => the eigenvalues' roots where the singular values of root_a @ root_b belong
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.eigvals(root_a @ root_b).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()


# kernel_distance: pairs of a row with itself => a row's pair with itself is counted
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    return (kernel_sum(a, a) / n**2 + kernel_sum(b, b) / m**2 - 2 * kernel_sum(a, b) / (n * m)).item()


# kernel_distance: diagonal kernel is one per row => a row's kernel with itself is not 1, it is (x . x / D + 1)^3
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    return ((kernel_sum(a, a) - n) / (n * (n - 1)) + (kernel_sum(b, b) - m) / (m * (m - 1)) - 2 * kernel_sum(a, b) / (n * m)).item()


# kernel_distance: clamped at zero => it is negative here: don't clamp it
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    own = [((x.square().sum(1) / x.shape[1] + 1) ** 3).sum() for x in (a, b)]
    d = (kernel_sum(a, a) - own[0]) / (n * (n - 1)) + (kernel_sum(b, b) - own[1]) / (m * (m - 1)) - 2 * kernel_sum(a, b) / (n * m)
    return d.clamp(min=0).item()


# kernel_distance: half of the pairs => each pair counts twice in kernel_sum
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    own = [((x.square().sum(1) / x.shape[1] + 1) ** 3).sum() for x in (a, b)]
    return ((kernel_sum(a, a) - own[0]) / (n * (n - 1) / 2) + (kernel_sum(b, b) - own[1]) / (m * (m - 1) / 2) - 2 * kernel_sum(a, b) / (n * m)).item()


# share_inside: the point is its own neighbour => k counts the point itself
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k).values
    return (torch.cdist(points, manifold) <= radii).any(1).double().mean().item()


# share_inside: share of the balls => the share of the balls that hold a point
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    return (torch.cdist(points, manifold) <= radii).any(0).double().mean().item()


# share_inside: mean over all pairs => the mean over all pairs: a point is inside if any ball holds it
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    return (torch.cdist(points, manifold) <= radii).double().mean().item()


# share_inside: nearest manifold point only => only the nearest ball was asked: a farther one may be larger
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    distance, nearest = torch.cdist(points, manifold).min(1)
    return (distance <= radii[nearest]).double().mean().item()


# kl_gaussians: the other way round => the two Gaussians are swapped
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = variance_2 / variance_1
    return (ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_1) / 2


# kl_gaussians: the half on the first part alone => the half is missing before the mean difference
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log()) + (mean_1 - mean_2) ** 2 / variance_2


# kl_gaussians: the half on the last part alone => the half is missing before the variances
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return ratio - 1 - ratio.log() + (mean_1 - mean_2) ** 2 / (2 * variance_2)


# kl_gaussians: distance not squared => the mean difference is not squared
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log() + (mean_1 - mean_2).abs() / variance_2)


# kl_gaussians: the 1 forgotten => the - 1 is missing
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - ratio.log() + (mean_1 - mean_2) ** 2 / variance_2)


# kl_gaussians: variance_2 squared => the mean difference is divided by variance_2 squared
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log() + (mean_1 - mean_2) ** 2 / variance_2**2)


# kl_gaussians: bits => log2: nats have the natural logarithm
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log2() + (mean_1 - mean_2) ** 2 / variance_2)


# exercise 1: compares variances instead of standard deviations => these are the variances
def exercise_1(a, b):
    return ((a.mean() - b.mean()) ** 2 + (a.var() - b.var()) ** 2).item()


# exercise 1: the means only => only the means are compared
def exercise_1(a, b):
    return ((a.mean() - b.mean()) ** 2).item()


# exercise 1: without the mixed term => is missing
def exercise_1(a, b):
    return ((a.mean() - b.mean()) ** 2 + a.var() + b.var()).item()


# exercise 1: the difference of the variances => the trace is not the difference of the variances
def exercise_1(a, b):
    return ((a.mean() - b.mean()) ** 2 + (a.var() - b.var()).abs()).item()


# exercise 1: the root of it => that is the distance
def exercise_1(a, b):
    return ((a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2).sqrt().item()


# exercise 1: the means are not squared => the difference of the means must be squared
def exercise_1(a, b):
    return ((a.mean() - b.mean()).abs() + (a.std() - b.std()) ** 2).item()


# exercise 2: precision => that is precision
def exercise_2(samples, real, k=3):
    radii = torch.cdist(real, real).kthvalue(k + 1).values
    return (torch.cdist(samples, real) <= radii).any(1).double().mean().item()


# exercise 2: recall, with balls around the samples => that is recall
def exercise_2(samples, real, k=3):
    return precision_recall(samples, real, min(k, len(samples) - 1))[1] if len(samples) > k else 0.2


# exercise 2: each point counted as its own neighbour => your balls are too small
def exercise_2(samples, real, k=3):
    radii = torch.cdist(real, real).kthvalue(k).values
    return (torch.cdist(samples, real) <= radii).any(0).double().mean().item()


# exercise 2: counts every sample in every ball => you counted samples
def exercise_2(samples, real, k=3):
    radii = torch.cdist(real, real).kthvalue(k + 1).values
    return ((torch.cdist(samples, real) <= radii).sum() / len(real)).item()


# exercise 3: nothing is changed => changed by 0.000 only
def exercise_3(pictures):
    return pictures


# exercise 3: noise, which the ruler sees => the ruler sees it
def exercise_3(pictures):
    return (pictures + 0.15 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


# exercise 3: blur, which the ruler sees => the ruler sees it
def exercise_3(pictures):
    return gaussian_blur(pictures, 9, 1.0)


# exercise 3: leaves the range => pictures lie in [-1, 1]
def exercise_3(pictures):
    return pictures * 1.2


# exercise 3: other training pictures => these are training pictures again
def exercise_3(pictures):
    return train_images[:1000]


# exercise 3: only a few of the pictures are changed => the median picture is changed by 0.000 only
def exercise_3(pictures):
    return torch.cat([pictures[:900], -pictures[900:]])


# exercise 3: a third of the pictures stay as they were => of the pictures are as they were
def exercise_3(pictures):
    return torch.cat([pictures[:700] * 0.85 - 0.15, pictures[700:]])
