# exercise 1: the product runs over all T steps
def exercise_1(betas, t):
    return (1 - betas).prod()


# exercise 1: off by one, a step too many
def exercise_1(betas, t):
    return (1 - betas[: t + 1]).prod()


# exercise 1: betas indexed as if beta_0 stood in front
def exercise_1(betas, t):
    return (1 - betas[1:t]).prod() if t > 1 else 1 - betas[0] * 0


# exercise 1: the alpha of one step
def exercise_1(betas, t):
    return 1 - betas[t - 1]


# exercise 1: the betas multiplied
def exercise_1(betas, t):
    return betas[:t].prod()


# exercise 1: the betas added up
def exercise_1(betas, t):
    return 1 - betas[:t].sum()


# exercise 1: the amplitude in the place of the power
def exercise_1(betas, t):
    return (1 - betas[:t]).prod().sqrt()


# exercise 1: right but for t = 0
def exercise_1(betas, t):
    return (1 - betas).cumprod(0)[t - 1]


# exercise 1: the whole array
def exercise_1(betas, t):
    return (1 - betas[:t]).cumprod(0)


# exercise 2: jumps as if x_s were x_0
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.add_noise(x_s, t, noise)


# exercise 2: the noise of the whole way from t = 0
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - schedule.alpha_bars[t]).sqrt() * noise


# exercise 2: the difference of the noise variances
def exercise_2(schedule, x_s, s, t, noise):
    at_s, at_t = schedule.alpha_bars[s], schedule.alpha_bars[t]
    return (at_t / at_s).sqrt() * x_s + (at_s - at_t).sqrt() * noise


# exercise 2: no square roots
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left * x_s + (1 - left) * noise


# exercise 2: the variance in the place of the standard deviation
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - left) * noise


# exercise 2: the product starts at s
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s : t + 1].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: the product stops before t
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s + 1 : t].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: one step only
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.alphas[t].sqrt() * x_s + schedule.betas[t].sqrt() * noise


# exercise 3: the linear schedule, too hasty at the start
def exercise_3(T):
    return linear_betas(T)


# exercise 3: the cosine schedule
def exercise_3(T):
    return cosine_betas(T)


# exercise 3: the betas of a longer schedule
def exercise_3(T):
    return torch.linspace(1e-4, 0.02, T)


# exercise 3: alpha bars returned as betas
def exercise_3(T):
    return torch.sigmoid(torch.linspace(8, -8, T))


# exercise 3: beta_0 included
def exercise_3(T):
    alpha_bars = torch.cat([torch.ones(1), torch.sigmoid(torch.linspace(8, -8, T))])
    return torch.cat([torch.zeros(1), 1 - alpha_bars[1:] / alpha_bars[:-1]])


# exercise 3: beta_1 forgotten
def exercise_3(T):
    alpha_bars = torch.sigmoid(torch.linspace(8, -8, T))
    return 1 - alpha_bars[1:] / alpha_bars[:-1]


# exercise 3: starts with a large step
def exercise_3(T):
    log_snr = torch.linspace(3, -8, T, dtype=torch.float64)
    alpha_bars = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(log_snr)])
    return 1 - alpha_bars[1:] / alpha_bars[:-1]
