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
