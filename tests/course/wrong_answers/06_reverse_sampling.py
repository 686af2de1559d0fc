# reverse_step: noise at the last step => the step that lands on t = 0 adds noise
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t], x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: the variance for its root => the noise is scaled by the variance
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    return mean + beta_tilde * noise_like(x_t, generator)


# reverse_step: t off by one => t is off by one
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t - 1))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    return mean + beta_tilde.sqrt() * noise_like(x_t, generator)


# reverse_step: clip not used => the argument clip is not used
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: alpha_bar for alpha => sqrt(alpha_bar_t) where sqrt(alpha_t) belongs
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    bar, beta = per_image(schedule.alpha_bars[t], x_t), per_image(schedule.betas[t], x_t)
    mean = (x_t - beta / (1 - bar).sqrt() * model(x_t, t)) / bar.sqrt()
    _, beta_tilde = schedule.posterior(x_t, t, x_t, s)
    return mean + beta_tilde.sqrt() * noise_like(x_t, generator)


# reverse_step: rand for randn => uniform noise (rand)
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    return mean + beta_tilde.sqrt() * torch.rand(x_t.shape, generator=generator)


# reverse_step: never any noise => no noise is added
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    return schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)[0]


# reverse_step: clips to 0..1 => x_0 is clipped to [0, 1]: it lies in [-1, 1]
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(0, 1) if clip else x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: if s > 0 on a tensor => each image has a t of its own
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t], x_t)
    if s > 0:
        return mean + added.sqrt() * noise_like(x_t, generator)
    return mean


# reverse_step: the betas without per_image => each image has a t of its own
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    added = beta_tilde if variance == "beta_tilde" else schedule.betas[t] * (s > 0)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: Eq. 11 with 1 - alpha_bar not rooted => 1 - alpha_bar_t without its square root, under the predicted noise
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    alpha, bar, beta = (per_image(v[t], x_t) for v in (schedule.alphas, schedule.alpha_bars, schedule.betas))
    mean = (x_t - beta / (1 - bar) * model(x_t, t)) / alpha.sqrt()
    _, added = schedule.posterior(x_t, t, x_t, s)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: Eq. 11 divided by alpha => divided by alpha_t, its square root was left off
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    alpha, bar, beta = (per_image(v[t], x_t) for v in (schedule.alphas, schedule.alpha_bars, schedule.betas))
    mean = (x_t - beta / (1 - bar).sqrt() * model(x_t, t)) / alpha
    _, added = schedule.posterior(x_t, t, x_t, s)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: clips x_{t-1} => x_{t-1} is clipped: clip the predicted x_0, before the posterior
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_t, t, x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (s > 0), x_t)
    x = mean + added.sqrt() * noise_like(x_t, generator)
    return x.clamp(-1, 1) if clip else x


# reverse_step: posterior's arguments swapped => the posterior's arguments are swapped: posterior(x_t, t, x_0)
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, beta_tilde = schedule.posterior(x_0.clamp(-1, 1) if clip else x_0, t, x_t, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: the model's answer taken for x_0 => the model's answer is noise, not x_0: predict_x_0 turns it into x_0
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = model(x_t, t)
    mean, beta_tilde = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    added = beta_tilde if variance == "beta_tilde" else per_image(schedule.betas[t] * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: a long step with one step's coefficients => s is not used: this goes to t - 1
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, _ = schedule.check_step(t, s, x_t=x_t)
    x_0, _ = predict(model, x_t, t, schedule, clip)
    mean, added = schedule.posterior(x_t, t, x_0)
    if variance == "beta":
        added = per_image(schedule.betas[t] * (t > 1), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: betas[t] for a long step => betas[t] is the noise of one step
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0, _ = predict(model, x_t, t, schedule, clip)
    mean, added = schedule.posterior(x_t, t, x_0, s)
    if variance == "beta":
        added = per_image(schedule.betas[t] * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# reverse_step: the network's dropout stays on => training mode, with its dropout on
def reverse_step(model, x_t, t, schedule, s=None, generator=None, clip=True, variance="beta_tilde"):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0 = schedule.predict_x_0(x_t, t, model(x_t, t))
    mean, added = schedule.posterior(x_t, t, x_0.clamp(-1, 1) if clip else x_0, s)
    if variance == "beta":
        added = per_image((1 - schedule.alpha_bars[t] / schedule.alpha_bars[s]) * (s > 0), x_t)
    return mean + added.sqrt() * noise_like(x_t, generator)


# predict: clip without recomputing the noise => the noise was not computed anew
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    return (x_0.clamp(-1, 1) if clip else x_0), noise


# predict: clips the noise => the noise is clipped: clip the x_0 that it implies
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t)
    if clip:
        noise = noise.clamp(-1, 1)
    return schedule.predict_x_0(x_t, t, noise), noise


# predict: clip to 0..1 => x_0 is clipped to [0, 1]: it lies in [-1, 1]
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    if clip:
        x_0 = x_0.clamp(0, 1)
        noise = schedule.predict_noise(x_t, t, x_0)
    return x_0, noise


# predict: the dtype of the model => x_0 and noise must have the dtype of x_t, torch.float64
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t).float()
    x_0 = schedule.predict_x_0(x_t, t, noise)
    if clip:
        x_0 = x_0.clamp(-1, 1)
        noise = schedule.predict_noise(x_t, t, x_0)
    return x_0, noise


# predict: the network's dropout stays on => training mode, with its dropout on
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t).to(x_t.dtype)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    if clip:
        x_0 = x_0.clamp(-1, 1)
        noise = schedule.predict_noise(x_t, t, x_0)
    return x_0, noise


# walk: stops one step early => the walk stops one step early
def walk(step, x_T, times, progress=True):
    x_t = x_T
    yield times[0], x_t
    for t, s in list(pairwise(times))[:-1]:
        x_t = step(x_t, t, s)
        yield s, x_t


# walk: x_T is not yielded => x_T comes first
def walk(step, x_T, times, progress=True):
    x_t = x_T
    for t, s in pairwise(times):
        x_t = step(x_t, t, s)
        yield s, x_t


# walk: every state with the time where its step began => what a step from t to s gives belongs to s
def walk(step, x_T, times, progress=True):
    x_t = x_T
    yield times[0], x_t
    for t, s in pairwise(times):
        x_t = step(x_t, t, s)
        yield t, x_t


# walk: steps of one => the steps must go from each time of the list to the next
def walk(step, x_T, times, progress=True):
    x_t = x_T
    yield times[0], x_t
    for t, s in pairwise(times):
        x_t = step(x_t, t, t - 1)
        yield s, x_t


# walk: every step from x_T => every step starts from x_T
def walk(step, x_T, times, progress=True):
    yield times[0], x_T
    for t, s in pairwise(times):
        yield s, step(x_T, t, s)


# walk: yields x alone => it must yield pairs: yield t, x_t
def walk(step, x_T, times, progress=True):
    x_t = x_T
    yield x_t
    for t, s in pairwise(times):
        x_t = step(x_t, t, s)
        yield x_t


# walk: returns a list => walk must yield its states one by one, not return them all
def walk(step, x_T, times, progress=True):
    x_t = x_T
    states = [(times[0], x_t)]
    for t, s in pairwise(times):
        x_t = step(x_t, t, s)
        states.append((s, x_t))
    return states


# walk: progress ignored => the walk shows a progress bar although progress=False
def walk(step, x_T, times, progress=True):
    x_t = x_T
    yield times[0], x_t
    for t, s in tqdm(list(pairwise(times))):
        x_t = step(x_t, t, s)
        yield s, x_t


# sample: clip is not passed on => {'clip': False} is not passed on
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, variance=variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T, steps), progress))


# sample: steps is not used => {'steps': 3} is not passed on
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T), progress))


# sample: every step goes to t - 1 => each step must end at s, the next time: hand s on to reverse_step
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, None, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T, steps), progress))


# sample: x_1 is returned => this is x_1
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return list(walk(step, x_T, even_times(schedule.T, steps), progress))[-2][1]


# sample: the walk itself => the sample (the walk yields t and x_t, return the last x_t) must be a tensor, yours is
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return walk(step, x_T, even_times(schedule.T, steps), progress)


# sample: clipped at the end => clipped at the end: reverse_step clips x_0 at every step, if asked
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T, steps), progress)).clamp(-1, 1)


# sample: generator not passed => the sample differs from call to call with the same seed
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, None, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T, steps), progress))


# sample: progress not passed => sample shows a progress bar although progress=False
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return last_state(walk(step, x_T, even_times(schedule.T, steps)))


# sample: to [0, 1] => moved to [0, 1]: images are in [-1, 1] here
def sample(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return (last_state(walk(step, x_T, even_times(schedule.T, steps), progress)) + 1) / 2


# sample_trajectory: the first frames => the first frames of the way
def sample_trajectory(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True, frames=50
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    return torch.stack([x_t.cpu() for _, x_t in list(walk(step, x_T, even_times(schedule.T, steps), progress))[:frames]])


# sample_trajectory: a list => sample_trajectory returns a list: stack its states, torch.stack(...)
def sample_trajectory(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True, frames=50
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator, clip, variance)

    x_T = initial_noise(model, shape, generator, x_T)
    kept = even_times(schedule.T, frames - 1)
    return [x for t, x in walk(step, x_T, even_times(schedule.T, steps), progress) if t in kept]


# sample_trajectory: options not passed => {'clip': False} is not passed on
def sample_trajectory(
    model, schedule, shape, steps=None, generator=None, clip=True, variance="beta_tilde", x_T=None, progress=True, frames=50
):
    def step(x_t, t, s):
        return reverse_step(model, x_t, t, schedule, s, generator)

    x_T = initial_noise(model, shape, generator, x_T)
    kept = even_times(schedule.T, frames - 1)
    return torch.stack([x for t, x in walk(step, x_T, even_times(schedule.T, steps), progress) if t in kept])


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
        x = reverse_step(model, x, step, schedule, generator=generator)
    return x


# exercise 2: stops one step early => they stop at t = 2
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(t, 1, -1):
        x = reverse_step(model, x, step, schedule, generator=generator)
    return x


# exercise 2: starts from pure noise => it is the pure noise
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = noise
    for step in range(t, 0, -1):
        x = reverse_step(model, x, step, schedule, generator=generator)
    return x


# exercise 2: forgets to noise the picture => it is clean
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = x_0
    for step in range(t, 0, -1):
        x = reverse_step(model, x, step, schedule, generator=generator)
    return x


# exercise 2: starts one step too low => they start at t - 1
def exercise_2(model, schedule, x_0, t, noise, generator):
    x = schedule.add_noise(x_0, t, noise)
    for step in range(t - 1, 0, -1):
        x = reverse_step(model, x, step, schedule, generator=generator)
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
