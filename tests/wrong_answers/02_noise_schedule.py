# exercise 1: the product runs over all T steps => the product over all T steps
def exercise_1(betas, t):
    return (1 - betas).prod()


# exercise 1: off by one, a step too many => one factor too many
def exercise_1(betas, t):
    return (1 - betas[: t + 1]).prod()


# exercise 1: betas indexed as if beta_0 stood in front => beta_1 is left out
def exercise_1(betas, t):
    return (1 - betas[1:t]).prod() if t > 1 else 1 - betas[0] * 0


# exercise 1: the alpha of one step => this is alpha_3 alone
def exercise_1(betas, t):
    return 1 - betas[t - 1]


# exercise 1: the betas multiplied => this multiplies the betas
def exercise_1(betas, t):
    return betas[:t].prod()


# exercise 1: the betas added up => this adds the betas up
def exercise_1(betas, t):
    return 1 - betas[:t].sum()


# exercise 1: the amplitude in the place of the power => the amplitude, not the share of power
def exercise_1(betas, t):
    return (1 - betas[:t]).prod().sqrt()


# exercise 1: right but for t = 0 => alpha_bar_0: index -1 is the last entry
def exercise_1(betas, t):
    return (1 - betas).cumprod(0)[t - 1]


# exercise 1: the whole array => not the whole array
def exercise_1(betas, t):
    return (1 - betas[:t]).cumprod(0)


# exercise 2: jumps as if x_s were x_0 => sqrt(alpha_bar_t) is for x_0
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.add_noise(x_s, t, noise)


# exercise 2: the noise of the whole way from t = 0 => this is the noise of all t steps
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - schedule.alpha_bars[t]).sqrt() * noise


# exercise 2: the difference of the noise variances => forgets that the noise in x_s shrinks
def exercise_2(schedule, x_s, s, t, noise):
    at_s, at_t = schedule.alpha_bars[s], schedule.alpha_bars[t]
    return (at_t / at_s).sqrt() * x_s + (at_s - at_t).sqrt() * noise


# exercise 2: no square roots => the factor of x_s, for s = 200 and t = 500: this is the product of the alphas itself; a square root is missing
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left * x_s + (1 - left) * noise


# exercise 2: the variance in the place of the standard deviation => the noise is scaled by its variance
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - left) * noise


# exercise 2: the product starts at s => your product starts at alpha_s
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s : t + 1].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: the product stops before t => your product stops one step before t
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s + 1 : t].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: one step only => this is the single step to t
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.alphas[t].sqrt() * x_s + schedule.betas[t].sqrt() * noise


# exercise 3: the linear schedule, too hasty at the start => more than 0.2: too hasty at the start
def exercise_3(T):
    return linear_betas(T)


# exercise 3: the cosine schedule => more than 0.2: too hasty at the end
def exercise_3(T):
    return cosine_betas(T)


# exercise 3: the betas of a longer schedule => were these betas meant for more steps
def exercise_3(T):
    return torch.linspace(1e-4, 0.02, T)


# exercise 3: alpha bars returned as betas => alpha bars, not betas
def exercise_3(T):
    return torch.sigmoid(torch.linspace(8, -8, T))


# exercise 3: beta_0 included => leave out beta_0
def exercise_3(T):
    alpha_bars = torch.cat([torch.ones(1), torch.sigmoid(torch.linspace(8, -8, T))])
    return torch.cat([torch.zeros(1), 1 - alpha_bars[1:] / alpha_bars[:-1]])


# exercise 3: beta_1 forgotten => beta_1 is missing
def exercise_3(T):
    alpha_bars = torch.sigmoid(torch.linspace(8, -8, T))
    return 1 - alpha_bars[1:] / alpha_bars[:-1]


# exercise 3: starts with a large step => the first step is too large
def exercise_3(T):
    log_snr = torch.linspace(3, -8, T, dtype=torch.float64)
    alpha_bars = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(log_snr)])
    return 1 - alpha_bars[1:] / alpha_bars[:-1]
