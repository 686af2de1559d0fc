# noise_step: beta for sqrt(beta) => variance 0.0004002, expected 1.98 and 0.02: beta where its square root belongs
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + beta * noise_like(x, generator)


# noise_step: rand for randn => uniform noise (rand)
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + beta**0.5 * torch.rand(x.shape, generator=generator)


# noise_step: nothing shrinks => nothing shrinks
def noise_step(x, beta, generator=None):
    return x + beta**0.5 * noise_like(x, generator)


# noise_step: the root left off in front of x => x shrinks by 1 - beta
def noise_step(x, beta, generator=None):
    return (1 - beta) * x + beta**0.5 * noise_like(x, generator)


# noise_step: one draw for all entries => draw new noise for every entry
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn(1, generator=generator)


# noise_step: the generator is not used => pass the generator on
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + beta**0.5 * torch.randn_like(x)


# noise_step: no return => is there a return
def noise_step(x, beta, generator=None):
    (1 - beta) ** 0.5 * x + beta**0.5 * noise_like(x, generator)


# noise_step: noise not scaled => the noise is not scaled: it needs the factor sqrt(beta)
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + noise_like(x, generator)


# noise_step: 1 - sqrt(beta) => 1 - sqrt(beta) where sqrt(1 - beta) belongs, in front of x
def noise_step(x, beta, generator=None):
    return (1 - beta**0.5) * x + beta**0.5 * noise_like(x, generator)


# noise_step: math not exported => beside its arguments there is only what cells
def noise_step(x, beta, generator=None):
    return math.sqrt(1 - beta) * x + math.sqrt(beta) * noise_like(x, generator)


# noise_step: renamed argument => its arguments must be (x, beta, generator=None), yours are (x, b, generator=None)
def noise_step(x, b, generator=None):
    return (1 - b) ** 0.5 * x + b**0.5 * noise_like(x, generator)


# noise_step: generator left out of the arguments => its arguments must be (x, beta, generator=None), yours are (x, beta)
def noise_step(x, beta):
    return (1 - beta) ** 0.5 * x + beta**0.5 * noise_like(x)


# noise_chain: x_0 left out => T states where T + 1 belong
def noise_chain(x_0, betas, generator=None):
    states, x = [], x_0
    for beta in betas:
        x = noise_step(x, beta, generator)
        states.append(x)
    return torch.stack(states)


# noise_chain: every step from x_0 => every step starts from x_0
def noise_chain(x_0, betas, generator=None):
    return torch.stack([x_0] + [noise_step(x_0, beta, generator) for beta in betas])


# noise_chain: the last state alone => stack all of them
def noise_chain(x_0, betas, generator=None):
    for beta in betas:
        x_0 = noise_step(x_0, beta, generator)
    return x_0


# noise_chain: the same noise in every step => the same noise in every step
def noise_chain(x_0, betas, generator=None):
    states, noise = [x_0], noise_like(x_0, generator)
    for beta in betas:
        states.append((1 - beta) ** 0.5 * states[-1] + beta**0.5 * noise)
    return torch.stack(states)


# noise_chain: a list => noise_chain returns a list: stack its states, torch.stack(...)
def noise_chain(x_0, betas, generator=None):
    states = [x_0]
    for beta in betas:
        states.append(noise_step(states[-1], beta, generator))
    return states


# exercise 1: nothing shrinks => nothing shrinks in your chain
def exercise_1(variance, betas):
    return variance + sum(betas)


# exercise 1: the factor of x, not its square, scales the variance => scaling x by sqrt(1-beta) scales its variance by 1-beta
def exercise_1(variance, betas):
    for beta in betas:
        variance = (1 - beta) ** 0.5 * variance + beta
    return variance


# exercise 1: the standard deviation of the noise added as if it were its variance => not its standard deviation
def exercise_1(variance, betas):
    for beta in betas:
        variance = (1 - beta) * variance + beta**0.5
    return variance


# exercise 1: beta squared => which is beta already: don't square it
def exercise_1(variance, betas):
    for beta in betas:
        variance = (1 - beta) * variance + beta**2
    return variance


# exercise 1: one step only => only the last step is in it
def exercise_1(variance, betas):
    return (1 - betas[-1]) * variance + betas[-1]


# exercise 2: the whole chain comes back => you returned the whole chain
def exercise_2(x_0, betas, t, generator):
    return noise_chain(x_0, betas[:t], generator) if t else x_0[None]


# exercise 2: one step too few => one step too few
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for k in range(1, t):
        x = noise_step(x, betas[k - 1], generator)
    return x


# exercise 2: betas[1] taken for beta_1 => shifted by one
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for k in range(1, t + 1):
        x = noise_step(x, betas[k], generator)
    return x


# exercise 2: the same noise in every step => the same noise in every step
def exercise_2(x_0, betas, t, generator):
    x, noise = x_0, noise_like(x_0, generator)
    for beta in betas[:t].tolist():
        x = (1 - beta) ** 0.5 * x + beta**0.5 * noise
    return x


# exercise 2: the generator is not used => the same seed gave two results
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for beta in betas[:t]:
        x = noise_step(x, beta)
    return x


# exercise 2: rand for randn => randn, not rand
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for beta in betas[:t].tolist():
        x = (1 - beta) ** 0.5 * x + beta**0.5 * torch.rand(x.shape, generator=generator)
    return x


# exercise 3: one beta for every T => beta is too small (fewer steps need a larger beta)
def exercise_3(T):
    return 0.02


# exercise 3: nats for bits => that is 0.01 nats
def exercise_3(T):
    return 1 - (1 - math.exp(-2 * 0.01)) ** (1 / T)


# exercise 3: the half is missing in front of the logarithm => is the 1/2 in front of the log2 missing
def exercise_3(T):
    return 1 - (1 - 2**-0.01) ** (1 / T)


# exercise 3: the naive chain's answer => the answer for the naive chain
def exercise_3(T):
    return 1 / (T * (2**0.02 - 1))


# exercise 3: far more noise than needed => beta is larger than needed
def exercise_3(T):
    return 20 / (T + 20)


# exercise 2: beta for sqrt(beta) => multiply it by sqrt(beta), not by beta
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for beta in betas[:t].tolist():
        x = (1 - beta) ** 0.5 * x + beta * noise_like(x, generator)
    return x


# exercise 2: nothing shrinks => the factor sqrt(1-beta) is missing
def exercise_2(x_0, betas, t, generator):
    x = x_0
    for beta in betas[:t].tolist():
        x = x + beta**0.5 * noise_like(x, generator)
    return x
