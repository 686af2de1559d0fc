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
