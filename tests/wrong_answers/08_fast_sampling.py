# exercise 1: the noise of one step for a long step
def exercise_1(schedule, t, s, eta):
    return eta**2 * schedule.betas[t] / (1 - schedule.alpha_bars[t])


# exercise 1: standard deviations instead of variances
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta * ((1 - now / then) / (1 - now)).sqrt()


# exercise 1: sigma squared itself
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta**2 * (1 - then) / (1 - now) * (1 - now / then)


# exercise 1: eta not squared
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return eta * (1 - now / then) / (1 - now)


# exercise 1: eta forgotten
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return (1 - now / then) / (1 - now)


# exercise 1: the ratio of the alpha bars upside down
def exercise_1(schedule, t, s, eta):
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    return (eta * (1 - then / now).sqrt() / (1 - now).sqrt()) ** 2


# exercise 2: the line at the end of the step
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) * (x_0 - x_0_before)


# exercise 2: weights for steps of equal length
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return 1.5 * x_0 - 0.5 * x_0_before


# exercise 2: the ratio of the lengths upside down
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_t - lambda_r) / (lambda_s - lambda_t) / 2 * (x_0 - x_0_before)


# exercise 2: towards the earlier prediction
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None or lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0_before - x_0)


# exercise 2: first order throughout
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    return x_0


# exercise 2: second order into t = 0
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None:
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0 - x_0_before)


# exercise 2: zeros in the first step
def exercise_2(x_0, x_0_before, lambda_r, lambda_t, lambda_s):
    if x_0_before is None:
        return torch.zeros_like(x_0)
    if lambda_s == float("inf"):
        return x_0
    return x_0 + (lambda_s - lambda_t) / (lambda_t - lambda_r) / 2 * (x_0 - x_0_before)


# exercise 3: stops before 0
def exercise_3(T, steps):
    return list(range(T, 0, -T // steps))


# exercise 3: ends at 1
def exercise_3(T, steps):
    return [1 + round((T - 1) * (k / steps) ** 2.5) for k in range(steps, -1, -1)]


# exercise 3: even in t
def exercise_3(T, steps):
    return [T * k // steps for k in range(steps, -1, -1)]


# exercise 3: one step too many
def exercise_3(T, steps):
    return [round(T * (k / (steps + 1)) ** 2.5) for k in range(steps + 1, -1, -1)]


# exercise 3: times that fall together
def exercise_3(T, steps):
    return [round(T * (k / steps) ** 6) for k in range(steps, -1, -1)]


# exercise 3: rising times
def exercise_3(T, steps):
    return [round(T * (k / steps) ** 2.5) for k in range(steps + 1)]


# exercise 3: fractions of a step
def exercise_3(T, steps):
    return [T * (k / steps) ** 2.5 for k in range(steps, -1, -1)]
