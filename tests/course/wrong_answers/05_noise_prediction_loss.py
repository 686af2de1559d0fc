# noise_prediction_loss: x_0 predicted instead of the noise => compared with x_0
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), x_0)


# noise_prediction_loss: Huber => the Huber loss
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.smooth_l1_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: L1 => the mean absolute error
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.l1_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: sum for mean => the sum of the squares
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise, reduction="sum")


# noise_prediction_loss: the clean picture shown => the model sees the clean x_0
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(x_0, t), noise)


# noise_prediction_loss: t off by one at the model => the model sees t - 1
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t - 1), noise)


# noise_prediction_loss: t drawn from 0..T-1 => t = 0 is drawn
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(schedule.T, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: randint's upper end => is never drawn
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: one t for the batch => each image needs a t of its own
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (1,), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, int(t[0]), noise) if len(t) == 1 else schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: rand for randn => uniform noise (rand)
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = torch.rand(x_0.shape, generator=generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: each image's loss, not their mean => the loss: one loss for each image: return their mean
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return (model(schedule.add_noise(x_0, t, noise), t) - noise).square().flatten(1).mean(1)


# noise_prediction_loss: a float => no gradient leads from the loss to the model
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise).item()


# noise_prediction_loss: detached => no gradient leads from the loss to the model
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    with torch.no_grad():
        predicted = model(schedule.add_noise(x_0, t, noise), t)
    return F.mse_loss(predicted, noise)


# noise_prediction_loss: model arguments swapped => the model is called as model(x_t, t), with t itself, a whole number
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(t, schedule.add_noise(x_0, t, noise)), noise)


# noise_prediction_loss: one noise for all images => one noise for all images: each needs noise of its own
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0[:1], generator).expand_as(x_0) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# noise_prediction_loss: the model's answer turned into x_0 => the errors of the implied x_0: compare the noises
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    x_t = schedule.add_noise(x_0, t, noise)
    return F.mse_loss(schedule.predict_x_0(x_t, t, model(x_t, t)), x_0)


# noise_prediction_loss: a given t = 0 => a given t = 0 must be refused
def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator) if t is None else t
    noise = noise_like(x_0, generator) if noise is None else noise
    return F.mse_loss(model(schedule.add_noise(x_0, t, noise), t), noise)


# GaussianMixtureDenoiser.__call__: the score => the score, up to its sign
def __call__(self, x_t, t):
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x_t)
    offset = x_t[:, None, :] - signal[..., None] * self.means
    variance = signal**2 * self.stds**2 + spread**2
    log_density = -(offset**2).sum(-1) / (2 * variance) - x_t.shape[1] / 2 * variance.log()
    share = torch.softmax(self.weights.log() + log_density, dim=1)
    return torch.einsum("nk,nkd->nd", share / variance, offset)


# GaussianMixtureDenoiser.__call__: no weights => the weights of the mixture are not used
def __call__(self, x_t, t):
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x_t)
    offset = x_t[:, None, :] - signal[..., None] * self.means
    variance = signal**2 * self.stds**2 + spread**2
    log_density = -(offset**2).sum(-1) / (2 * variance) - x_t.shape[1] / 2 * variance.log()
    share = torch.softmax(log_density, dim=1)
    return spread * torch.einsum("nk,nkd->nd", share / variance, offset)


# GaussianMixtureDenoiser.__call__: variance without the signal => a component's variance in x_t is alpha_bar std^2 + 1 - alpha_bar, yours lacks the
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = self.stds**2 + spread**2
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: means not faded => the means must fade too: signal times mean
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = signal**2 * self.stds**2 + spread**2
    offset = x[:, None, :] - self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: weights added without log => the weights count by their logarithm: log weight + log density
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = signal**2 * self.stds**2 + spread**2
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: another name for the answer => beside its arguments there is only what cells
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = signal**2 * self.stds**2 + spread**2
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    answer = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: softmax over the batch => softmax over the points: over the components, dim=1
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = signal**2 * self.stds**2 + spread**2
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 0)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: std for variance => standard deviations where variances belong
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = (signal**2 * self.stds**2 + spread**2).sqrt()
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


# GaussianMixtureDenoiser.__call__: stds not squared => the stds are taken for variances: square them
def __call__(self, x_t, t):
    x = x_t.double().cpu()
    signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)
    variance = signal**2 * self.stds + spread**2
    offset = x[:, None, :] - signal[..., None] * self.means
    share = torch.softmax(self.weights.log() - (offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log(), 1)
    noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)
    return noise.to(x_t.dtype).to(x_t.device)


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
