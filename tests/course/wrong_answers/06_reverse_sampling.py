# reverse_step: noise at the last step => the step that lands on t = 0 adds noise
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t], x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: the variance for its root => the noise is scaled by the variance
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    return mean + beta_tilde * noise_like(x_t, generator)


# reverse_step: t off by one => t is off by one
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t - 1))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    return mean + beta_tilde.sqrt() * noise_like(x_t, generator)


# reverse_step: clip not used => the argument clip is not used
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: alpha_bar for alpha => sqrt(alpha_bar_t) where sqrt(alpha_t) belongs
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    bar, beta = per_image(schedule.alpha_bars[t], x_t), per_image(schedule.betas[t], x_t)
    mean = (x_t - beta / (1 - bar).sqrt() * model(x_t, t)) / bar.sqrt()
    _, beta_tilde = schedule.posterior(x_t, x_t, t)
    return mean + beta_tilde.sqrt() * noise_like(x_t, generator)


# reverse_step: rand for randn => uniform noise (rand)
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    return mean + beta_tilde.sqrt() * torch.rand(x_t.shape, generator=generator)


# reverse_step: never any noise => no noise is added
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    return schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)[0]


# reverse_step: clips to 0..1 => x_0 is clipped to [0, 1]: it lies in [-1, 1]
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(0, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: if t > 1 on a tensor => each image has a t of its own
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t], x_t)
    if t > 1:
        return mean + added.sqrt() * noise_like(x_t, generator)
    return mean


# reverse_step: the betas without per_image => each image has a t of its own
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else schedule.betas[t] * (t > 1)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: Eq. 11 with 1 - alpha_bar not rooted => 1 - alpha_bar_t without its square root, under the predicted noise
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    alpha, bar, beta = (per_image(v[t], x_t) for v in (schedule.alphas, schedule.alpha_bars, schedule.betas))
    mean = (x_t - beta / (1 - bar) * model(x_t, t)) / alpha.sqrt()
    _, added = schedule.posterior(x_t, x_t, t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: Eq. 11 divided by alpha => divided by alpha_t, its square root was left off
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    alpha, bar, beta = (per_image(v[t], x_t) for v in (schedule.alphas, schedule.alpha_bars, schedule.betas))
    mean = (x_t - beta / (1 - bar).sqrt() * model(x_t, t)) / alpha
    _, added = schedule.posterior(x_t, x_t, t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: clips x_{t-1} => x_{t-1} is clipped: clip the predicted x_0, before the posterior
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    x = mean + added.sqrt() * noise_like(x_t, generator)
    return x.clamp(-1, 1) if clip else x


# reverse_step: posterior's arguments swapped => the posterior's arguments are swapped: posterior(x_0, x_t, t)
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, x_0.clamp(-1, 1) if clip else x_0, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: the model's answer taken for x_0 => the model's answer is noise, not x_0: predict_x_0 turns it into x_0
def reverse_step(model, x_t, t, schedule, generator=None, clip=True, variance="beta_tilde"):
    t = schedule.check(t, 1, x_t=x_t).expand(len(x_t))
    x_0 = model(x_t, t)
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, x_t, t)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_process: dropout stays on => training mode, with its dropout on
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x_t = initial_noise(model, shape, generator)
    yield schedule.T, x_t
    for t in range(schedule.T, 0, -1):
        x_t = reverse_step(model, x_t, t, schedule, generator, clip, variance)
        yield t - 1, x_t


# reverse_process: stops one step early => one step early
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x_t = initial_noise(model, shape, generator)
    yield schedule.T, x_t
    with evaluating(model):
        for t in range(schedule.T, 1, -1):
            x_t = reverse_step(model, x_t, t, schedule, generator, clip, variance)
            yield t - 1, x_t


# reverse_process: steps t off by one => must
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x_t = initial_noise(model, shape, generator)
    yield schedule.T, x_t
    with evaluating(model):
        for t in range(schedule.T - 1, -1, -1):
            x_t = reverse_step(model, x_t, t, schedule, generator, clip, variance)
            yield t, x_t


# reverse_process: starts from uniform noise => uniform noise (rand)
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x_t = torch.rand(shape, generator=generator)
    yield schedule.T, x_t
    with evaluating(model):
        for t in range(schedule.T, 0, -1):
            x_t = reverse_step(model, x_t, t, schedule, generator, clip, variance)
            yield t - 1, x_t


# reverse_process: yields x alone => it must yield pairs: yield t, x_t
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x = initial_noise(model, shape, generator)
    yield x
    with evaluating(model):
        for t in range(schedule.T, 0, -1):
            x = reverse_step(model, x, t, schedule, generator, clip, variance)
            yield x


# reverse_process: returns a list => reverse_process must yield its states one by one, not return them all
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x = initial_noise(model, shape, generator)
    states = [(schedule.T, x)]
    with evaluating(model):
        for t in range(schedule.T, 0, -1):
            x = reverse_step(model, x, t, schedule, generator, clip, variance)
            states.append((t - 1, x))
    return states


# reverse_process: progress ignored => the process shows a progress bar although progress=False
def reverse_process(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    x = initial_noise(model, shape, generator)
    yield schedule.T, x
    with evaluating(model):
        for t in tqdm(range(schedule.T, 0, -1)):
            x = reverse_step(model, x, t, schedule, generator, clip, variance)
            yield t - 1, x


# sample: clip is not passed on => {'clip': False} is not passed on
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    return list(reverse_process(model, schedule, shape, generator, variance=variance, progress=progress))[-1][1]


# sample: x_1 is returned => this is x_1
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    return list(reverse_process(model, schedule, shape, generator, clip, variance, progress))[-2][1]


# sample: the generator object => the sample (the process yields t and x_t, return the last x_t) must be a tensor, yours is
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    return reverse_process(model, schedule, shape, generator, clip, variance, progress)


# sample: clipped at the end => clipped at the end: reverse_process clips x_0 at every step, if asked
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    *_, (_, x) = reverse_process(model, schedule, shape, generator, clip, variance, progress)
    return x.clamp(-1, 1)


# sample: generator not passed => the sample differs from call to call with the same seed
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    *_, (_, x) = reverse_process(model, schedule, shape, clip=clip, variance=variance, progress=progress)
    return x


# sample: progress not passed => sample shows a progress bar although progress=False
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    *_, (_, x) = reverse_process(model, schedule, shape, generator, clip, variance)
    return x


# sample: to [0, 1] => moved to [0, 1]: images are in [-1, 1] here
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    *_, (_, x) = reverse_process(model, schedule, shape, generator, clip, variance, progress)
    return (x + 1) / 2


# sample_trajectory: the first frames => the first frames of the way
def sample_trajectory(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True, frames=50):
    states = reverse_process(model, schedule, shape, generator, clip, variance, progress)
    return torch.stack([x_t.cpu() for _, x_t in list(states)[:frames]])


# sample_trajectory: a list => sample_trajectory returns a list: stack its states, torch.stack(...)
def sample_trajectory(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True, frames=50):
    times = trajectory_times(schedule.T, frames)
    return [x for t, x in reverse_process(model, schedule, shape, generator, clip, variance, progress) if t in times]


# sample_trajectory: options not passed => {'clip': False} is not passed on
def sample_trajectory(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True, frames=50):
    times = trajectory_times(schedule.T, frames)
    return torch.stack([x for t, x in reverse_process(model, schedule, shape, generator, progress=progress) if t in times])


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
