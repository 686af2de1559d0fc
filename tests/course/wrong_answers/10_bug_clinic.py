# exercise 1: alpha_bar_T without its root => the share of the variance; the amplitude is its root
def exercise_1(betas):
    return (1 - betas).prod()


# exercise 1: the noise in place of the signal => the amplitude of the noise
def exercise_1(betas):
    return (1 - (1 - betas).prod()).sqrt()


# exercise 1: one value for each t => one value for each t
def exercise_1(betas):
    return (1 - betas).cumprod(0).sqrt()


# exercise 1: the last step only => what the last step alone keeps
def exercise_1(betas):
    return (1 - betas[-1]).sqrt()


# exercise 1: the product of the betas => the product of the betas
def exercise_1(betas):
    return betas.prod().sqrt()


# exercise 1: 1 - sqrt(beta) for sqrt(1 - beta) => a step keeps sqrt(1 - beta)
def exercise_1(betas):
    return (1 - betas.sqrt()).prod()


# exercise 2: returns x and mends nothing => early: the last pair of times must end in 0; x_0 is still clamped to [0, 1]; one bar too many is still in the weight of x; the noise is still multiplied by the variance
def exercise_2(model, schedule, x, times, generator):
    return ill_sampler(("early", "clamp", "bar", "root"), model, schedule, x, times, generator)


# exercise 2: still one step early => it still ends one step early
def exercise_2(model, schedule, x, times, generator):
    for t, s in zip(times[:-2], times[1:-1], strict=True):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        variance = (1 - then) / (1 - now) * (1 - alpha)
        x = weight_x_0.float() * x_0 + weight_x.float() * x + variance.sqrt().float() * torch.randn(x.shape, generator=generator)
    return x


# exercise 2: the clamp and the root are still sick => x_0 is still clamped to [0, 1]; the noise is still multiplied by the variance
def exercise_2(model, schedule, x, times, generator):
    return ill_sampler(("clamp", "root"), model, schedule, x, times, generator)


# exercise 2: one bar too many => one bar too many is still in the weight of x
def exercise_2(model, schedule, x, times, generator):
    return ill_sampler(("bar",), model, schedule, x, times, generator)


# exercise 2: no noise at all => no noise is added in the steps
def exercise_2(model, schedule, x, times, generator):
    for t, s in zip(times[:-1], times[1:], strict=True):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        alpha = now / then
        x_0 = schedule.predict_x_0(x, t, model(x, t)).clamp(-1, 1)
        weight_x_0 = then.sqrt() * (1 - alpha) / (1 - now)
        weight_x = alpha.sqrt() * (1 - then) / (1 - now)
        x = weight_x_0.float() * x_0 + weight_x.float() * x
    return x


# exercise 2: gives x_T back => this is x_T again
def exercise_2(model, schedule, x, times, generator):
    return x


# exercise 3: everybody is healthy => patient 12 was taken for healthy
def exercise_3(signs, control):
    return 0


# exercise 3: by the grain alone => patient 2 was taken for 1; look at 'last t'
def exercise_3(signs, control):
    return 1 if signs["grain"] > 0.08 else 0


# exercise 3: names in place of numbers => return a number from 0 to 12
def exercise_3(signs, control):
    return "the last step adds noise"


# exercise 3: the grain before the last t, so that 2 is taken for 1 => 12 of 13 right. patient 2 was taken for 1; look at 'last t'
def exercise_3(signs, control):
    if signs["grain"] != signs["grain"]:
        return 12
    if signs["signal left"] > 0.1:
        return 11
    if signs["loss"] > 2 * control["loss"]:
        if signs["noise told"] < 2:
            return 4
        return 8 if signs["loss"] > 0.7 else 9
    if signs["sense of t"] < 0.5 * control["sense of t"]:
        return 10
    if signs["noise told"] > 5:
        return 7
    if signs["noise told"] < 0.8:
        return 5 if signs["repeat"] < 0.01 else 6
    if signs["grain"] > 0.08:
        return 1
    return 3 if signs["black"] > -0.5 else 0
