# exercise 1: the variance where its square root belongs => these are the variances
def exercise_1(schedule, variance):
    squared = schedule.betas.clone()
    if variance == "beta_tilde":
        a = schedule.alpha_bars
        squared[1:] *= (1 - a[:-1]) / (1 - a[1:])
    squared[1] = 0
    return squared


# exercise 1: noise in the last step => the step that lands on t = 0 adds no noise
def exercise_1(schedule, variance):
    squared = schedule.betas.clone()
    if variance == "beta_tilde":
        a = schedule.alpha_bars
        squared[1:] *= (1 - a[:-1]) / (1 - a[1:])
    return squared.sqrt()


# exercise 1: 0 divided by 0 at t = 0 => the formula divides 0 by 0
def exercise_1(schedule, variance):
    a = schedule.alpha_bars
    before = torch.cat([a[:1], a[:-1]])
    squared = schedule.betas * ((1 - before) / (1 - a) if variance == "beta_tilde" else 1)
    return squared.sqrt()


# exercise 1: the two choices swapped => the other choice of variance
def exercise_1(schedule, variance):
    squared = schedule.betas.clone()
    if variance == "beta":
        a = schedule.alpha_bars
        squared[1:] *= (1 - a[:-1]) / (1 - a[1:])
    squared[1] = 0
    return squared.sqrt()


# exercise 1: length T, t = 0 left out => sigma_0 is missing
def exercise_1(schedule, variance):
    return schedule.betas[1:].sqrt()


# exercise 2: starts at T instead of t => they start at T = 40
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(schedule.T, 0, -1):
        x = reverse_step(model, x, step, schedule, generator)
    return x


# exercise 2: stops one step early => they stop at t = 2
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(t, 1, -1):
        x = reverse_step(model, x, step, schedule, generator)
    return x


# exercise 2: starts from pure noise => it is the pure noise
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = noise
    for step in range(t, 0, -1):
        x = reverse_step(model, x, step, schedule, generator)
    return x


# exercise 2: forgets to noise the picture => it is clean
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = x_0
    for step in range(t, 0, -1):
        x = reverse_step(model, x, step, schedule, generator)
    return x


# exercise 2: starts one step too low => they start at t - 1
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(t - 1, 0, -1):
        x = reverse_step(model, x, step, schedule, generator)
    return x


# exercise 2: does not pass the generator => hand `generator` on
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(t, 0, -1):
        x = reverse_step(model, x, step, schedule)
    return x


# exercise 3: beta_tilde itself => this is beta_tilde itself
def exercise_3(t, schedule):
    a = schedule.alpha_bars
    return (1 - a[t - 1]) / (1 - a[t]) * schedule.betas[t]


# exercise 3: beta itself => this is beta itself
def exercise_3(t, schedule):
    return schedule.betas[t]


# exercise 3: a standard deviation instead of a variance => a standard deviation instead of a variance
def exercise_3(t, schedule):
    a, beta = schedule.alpha_bars, schedule.betas[t]
    beta_tilde = (1 - a[t - 1]) / (1 - a[t]) * beta
    return (0.25 * beta_tilde + 0.75 * beta).sqrt()


# exercise 3: the geometric mean, better than beta_tilde and still too narrow => -14.7%, -9.1%, -7.0%, -5.3%; minus is too narrow
def exercise_3(t, schedule):
    a, beta = schedule.alpha_bars, schedule.betas[t]
    return (1 - a[t - 1]).sqrt() / (1 - a[t]).sqrt() * beta
