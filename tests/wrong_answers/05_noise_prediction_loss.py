# exercise 1: multiplies by the signal-to-noise ratio instead of dividing by it => upside down
def exercise_1(noise_error, t, schedule):
    return noise_error * schedule.snr[t]


# exercise 1: the factor of the error, not of its square => squared errors need its square
def exercise_1(noise_error, t, schedule):
    return noise_error * ((1 - schedule.alpha_bars[t]) / schedule.alpha_bars[t]).sqrt()


# exercise 1: forgets to divide by the signal => the division by alpha_bar_t
def exercise_1(noise_error, t, schedule):
    return noise_error * (1 - schedule.alpha_bars[t])


# exercise 1: t shifted by one => off by one
def exercise_1(noise_error, t, schedule):
    return noise_error * (1 - schedule.alpha_bars[t - 1]) / schedule.alpha_bars[t - 1]


# exercise 1: uses beta and alpha of one step, not the products => belong to one step
def exercise_1(noise_error, t, schedule):
    return noise_error * schedule.betas[t] / schedule.alphas[t]


# exercise 2: averages the weights and the squares separately => multiply first, then take the mean
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1)
    weights = schedule.betas[t] / (2 * schedule.alphas[t] * (1 - schedule.alpha_bars[t]))
    return weights.mean() * squares.mean()


# exercise 2: the mean over the coordinates where Eq. 12 has their sum => Eq. 12 has a sum over the coordinates
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().mean(1)
    return (schedule.betas[t] / (2 * schedule.alphas[t] * (1 - schedule.alpha_bars[t])) * squares).mean()


# exercise 2: the factor 1/2 is missing => the 2 under the fraction is missing
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1)
    return (schedule.betas[t] / (schedule.alphas[t] * (1 - schedule.alpha_bars[t])) * squares).mean()


# exercise 2: alpha_bar where alpha belongs => holds alpha_t, not alpha_bar_t
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1)
    return (schedule.betas[t] / (2 * schedule.alpha_bars[t] * (1 - schedule.alpha_bars[t])) * squares).mean()


# exercise 2: divides by 2 instead of 2 beta => cancels one of the two betas
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1)
    return (schedule.betas[t] ** 2 / (2 * schedule.alphas[t] * (1 - schedule.alpha_bars[t])) * squares).mean()


# exercise 2: no weight at all => the weight is missing
def exercise_2(model, x_0, t, noise, schedule):
    return (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1).mean()


# exercise 2: shows the clean picture to the model => the model has to see x_t, not x_0
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(x_0, t)).square().sum(1)
    return (schedule.betas[t] / (2 * schedule.alphas[t] * (1 - schedule.alpha_bars[t])) * squares).mean()


# exercise 2: returns one number for each point instead of their mean => one number is asked for
def exercise_2(model, x_0, t, noise, schedule):
    squares = (noise - model(schedule.add_noise(x_0, t, noise), t)).square().sum(1)
    return schedule.betas[t] / (2 * schedule.alphas[t] * (1 - schedule.alpha_bars[t])) * squares


# exercise 3: one Gaussian => one Gaussian: its floor falls
def exercise_3():
    return [0.0], [0.3], [1.0]


# exercise 3: two clusters, one hump => the floor rises once
def exercise_3():
    return [-0.75, 0.5], [0.05, 0.05], [0.4, 0.6]


# exercise 3: evenly spaced, so that all neighbours merge together => all neighbours merge at about the same t
def exercise_3():
    return [-0.9, -0.3, 0.3, 0.9], [0.05] * 4, [1.0] * 4


# exercise 3: components so wide that they overlap from the start => overlap from the start
def exercise_3():
    return [-0.9, -0.6, 0.6, 0.9], [0.6] * 4, [1.0] * 4


# exercise 3: means outside the range of pictures => means must lie in [-1, 1]
def exercise_3():
    return [-4.5, -3.0, 3.0, 4.5], [0.1] * 4, [1.0] * 4
