# ddim_step: per-step beta at stride > 1 => sigma from the beta of one step
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    then = schedule.alpha_bars[s]
    sigma = eta * ((1 - schedule.alpha_bars[t - 1]) / (1 - schedule.alpha_bars[t]) * schedule.betas[t]).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image((1 - then - sigma**2).sqrt(), x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: sigma^2 not taken out => was not taken out of the noise that is kept
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image((1 - then).sqrt(), x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: goes to t - 1 => a step to t - 1
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0, noise = predict(model, x_t, t, schedule, clip)
    return schedule.add_noise(x_0, t - 1, noise)


# ddim_step: stops one step early => one step short
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    x_0, noise = predict(model, x_t, t, schedule, clip)
    return schedule.alpha_bars[1].sqrt() * x_0 if (torch.as_tensor(s) == 0).all() else schedule.add_noise(x_0, s, noise)


# ddim_step: no per_image => each image has a t of its own
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: sigma not squared => sigma where sigma^2 belongs, under the root of the noise that is kept
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma).clamp(min=0).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: no root of alpha_bar_s => the square root of alpha_bar_s was left off, in front of x_0
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: clip ignored => x_0 is clipped although clip=False: pass clip on
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: eta squared => eta is squared
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta**2 * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: sigma without its root => sigma is squared, or lacks its square root
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * (1 - then) / (1 - now) * (1 - now / then)
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: x_0 clipped, the noise left as it was => x_0 was clipped and the noise was not computed anew
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    noise = model(x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    x_0 = x_0.clamp(-1, 1) if clip else x_0
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: no generator => ddim_step differs from call to call with the same seed
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * torch.randn_like(x_t) if eta > 0 else x_s


# ddim_encode: the model asked at t => asked at t where the step back asks at s
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    for t, s in pairwise(times):
        noise = predicted_noise(model, x_t, t)
        x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


# ddim_encode: forgets to reverse => this is the way down, from T to 0: turn the times round
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing), x_0
    for t, s in pairwise(times):
        noise = predicted_noise(model, x_t, s)
        x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


# ddim_encode: the network's dropout stays on => training mode, with its dropout on
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    for t, s in pairwise(times):
        noise = model(x_t, torch.full((len(x_t),), s))
        x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


# ddim_encode: spacing ignored => the argument spacing is not used
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps)[::-1], x_0
    for t, s in pairwise(times):
        noise = predicted_noise(model, x_t, s)
        x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


# ddim_encode: from x_0 each time => every step starts from the x_0 that was given
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    for t, s in pairwise(times):
        noise = predicted_noise(model, x_t, s)
        x_t = schedule.add_noise(x_0, s, noise)
    return x_t


# dpm_solver_step: second order in the last step => must be of first order
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None:
        r, x_0_before = previous
        lamda = (signal / spread).log()
        reach = (lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r]))
        target = x_0 + per_image(reach, x_t) * (x_0 - x_0_before)
    shrink = spread[s] / spread[t]
    return per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target, (t, x_0)


# dpm_solver_step: steps measured in t => steps measured in t
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None:
        r, x_0_before = previous
        reach = torch.where(spread[s] > 0, (t - s) / (2 * (r - t)), 0.0)
        target = x_0 + per_image(reach, x_t) * (x_0 - x_0_before)
    shrink = spread[s] / spread[t]
    return per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target, (t, x_0)


# dpm_solver_step: all or none of second order => only that one is of first order
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)


# dpm_solver_step: no per_image => each image has a t of its own
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + (lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])) * (x_0 - old)
    shrink = spread[s] / spread[t]
    return shrink * x_t + (signal[s] - shrink * signal[t]) * target, (t, x_0)


# dpm_solver_step: the noise for x_0 => the model's noise stands where x_0 belongs
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    _, x_0 = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)


# dpm_solver_step: the target is returned in place of x_0 => the target is returned: return the prediction x_0 itself
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, target)


# dpm_solver_step: clip ignored => x_0 is clipped although clip=False: pass clip on
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)


# dpm_solver_step: clip always off => the argument clip is not used
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = schedule.check_step(t, s, x_t=x_t)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, False)
    target = x_0
    if previous is not None and (torch.as_tensor(s) > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)


# exercise 1: the noise of one step for a long step => beta_t is the noise of one step
def exercise_1(schedule, t, s, eta):
    return eta**2 * schedule.betas[t] / (1 - schedule.alpha_bars[t])


# exercise 1: standard deviations instead of variances => these are standard deviations
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta * ((1 - now / then) / (1 - now)).sqrt()


# exercise 1: sigma squared itself => this is sigma^2 itself
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta**2 * (1 - then) / (1 - now) * (1 - now / then)


# exercise 1: eta not squared => it enters the variance squared
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta * (1 - now / then) / (1 - now)


# exercise 1: eta forgotten => eta is missing
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return (1 - now / then) / (1 - now)


# exercise 1: the ratio of the alpha bars upside down => is a ratio upside down
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return (eta * (1 - then / now).sqrt() / (1 - now).sqrt()) ** 2


# exercise 2: the line at the end of the step => the line at the end of the step
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) * (x_0 - x_0_before)


# exercise 2: weights for steps of equal length => right only for steps of equal length
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return 1.5 * x_0 - 0.5 * x_0_before


# exercise 2: the ratio of the lengths upside down => the ratio of the two lengths is upside down
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_t - lambda_r) / (lambda_s - lambda_t) / 2 * (x_0 - x_0_before)


# exercise 2: towards the earlier prediction => you lean towards the earlier prediction
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0_before - x_0)


# exercise 2: first order throughout => this is x_0 alone
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    return x_0


# exercise 2: second order into t = 0 => the step to t = 0 (infinitely long in lambda): NaN or infinity in it
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None:
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0 - x_0_before)


# exercise 2: zeros in the first step => the first step (it has no line)
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None:
        return torch.zeros_like(x_0)
    if lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0 - x_0_before)


# exercise 3: stops before 0 => the last time is 100
def exercise_3(T, steps):
    return list(range(T, 0, -T // steps))


# exercise 3: ends at 1 => the last time is 1: a run that does not end at t = 0
def exercise_3(T, steps):
    return [1 + round((T - 1) * (k / steps) ** 2.5) for k in range(steps, -1, -1)]


# exercise 3: even in t => the library's best spacing has 0.0287
def exercise_3(T, steps):
    return [T * k // steps for k in range(steps, -1, -1)]


# exercise 3: one step too many => 10 steps visit 11 times
def exercise_3(T, steps):
    return [round(T * (k / (steps + 1)) ** 2.5) for k in range(steps + 1, -1, -1)]


# exercise 3: times that fall together => no two may be the same
def exercise_3(T, steps):
    return [round(T * (k / steps) ** 6) for k in range(steps, -1, -1)]


# exercise 3: rising times => these times rise
def exercise_3(T, steps):
    return [round(T * (k / steps) ** 2.5) for k in range(steps + 1)]


# exercise 3: fractions of a step => round them to Python ints
def exercise_3(T, steps):
    return [T * (k / steps) ** 2.5 for k in range(steps, -1, -1)]
