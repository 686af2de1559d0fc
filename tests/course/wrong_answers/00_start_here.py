# exercise 1: takes the pixels for [0, 1] => that is the rule for [0, 1]
def exercise_1(images):
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


# exercise 1: does not clip, so that overshoot wraps round => should be 0 at index (0,), yours is 243
def exercise_1(images):
    return ((((images + 1) * 127.5).round().long()) % 256).to(torch.uint8)


# exercise 1: cuts off where it should round => round before the cast
def exercise_1(images):
    return ((images.clamp(-1, 1) + 1) * 127.5).to(torch.uint8)


# exercise 1: forgets the cast => cast them to torch.uint8
def exercise_1(images):
    return ((images.clamp(-1, 1) + 1) * 127.5).round()


# exercise 2: t off by one => their index is our t - 1
def exercise_2(alphas_cumprod, t):
    return float(alphas_cumprod[t])


# exercise 2: index -1 at t = 0 => index -1 counts from the end
def exercise_2(alphas_cumprod, t):
    return float(alphas_cumprod[t - 1])


# exercise 2: the clean picture is given one step of noise => x_0 has had none
def exercise_2(alphas_cumprod, t):
    return float(alphas_cumprod[max(t - 1, 0)])


# exercise 2: multiplies products up again => the entries are products already
def exercise_2(alphas_cumprod, t):
    return float(alphas_cumprod[:t].prod())


# exercise 3: compares with the first frame => compare with the last
def exercise_3(trajectory):
    x = trajectory.flatten(2)
    x = x - x.mean(dim=2, keepdim=True)
    x = x / x.norm(dim=2, keepdim=True)
    return (x * x[0]).sum(dim=2).mean(dim=1)


# exercise 3: the cosine, not centred => subtract each picture's own mean
def exercise_3(trajectory):
    x = trajectory.flatten(2)
    return torch.nn.functional.cosine_similarity(x, x[-1:], dim=2).mean(dim=1)


# exercise 3: one correlation over the whole batch => one correlation over the whole batch
def exercise_3(trajectory):
    return torch.corrcoef(trajectory.flatten(1))[-1]


# exercise 3: no mean over the pictures => take the mean over the pictures
def exercise_3(trajectory):
    x = trajectory.flatten(2)
    x = x - x.mean(dim=2, keepdim=True)
    x = x / x.norm(dim=2, keepdim=True)
    return (x * x[-1]).sum(dim=2)
