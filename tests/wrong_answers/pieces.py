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


# linear_betas: 1000-step betas for a short T => leave alpha_bar_T = 0.60 at T = 50, x_T is not noise
def linear_betas(T):
    return torch.linspace(1e-4, 0.02, T, dtype=torch.float64)


# linear_betas: no cap => no cap
def linear_betas(T):
    return 1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)


# linear_betas: beta_0 in front => leave out beta_0
def linear_betas(T):
    betas = (1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).clamp(max=0.999)
    return torch.cat([torch.zeros(1, dtype=torch.float64), betas])


# linear_betas: float32 => float64
def linear_betas(T):
    return (1000 / T * torch.linspace(1e-4, 0.02, T)).clamp(max=0.999)


# cosine_betas: the alpha bars themselves => these are the alpha bars
def cosine_betas(T):
    time = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    return (f / f[0])[1:]


# cosine_betas: no offset => the offset s = 0.008 is missing
def cosine_betas(T):
    f = torch.cos(torch.arange(T + 1, dtype=torch.float64) / T * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


# cosine_betas: not squared => not squared
def cosine_betas(T):
    time = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((time + 0.008) / 1.008 * math.pi / 2)
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


# NoiseSchedule.__init__: arrays of length T, off by one => put t = 0 in front
def __init__(self, betas):
    self.T, self.betas = len(betas), betas
    self.alphas = 1 - betas
    self.alpha_bars = self.alphas.cumprod(0)
    self.snr = self.alpha_bars / (1 - self.alpha_bars)


# NoiseSchedule.__init__: the product to T instead of t => over all T steps
def __init__(self, betas):
    self.T, self.betas = len(betas), torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    self.alphas = 1 - self.betas
    self.alpha_bars = self.alphas.prod().expand(self.T + 1)
    self.snr = self.alpha_bars / (1 - self.alpha_bars)


# NoiseSchedule.__init__: betas multiplied => the running product of the betas
def __init__(self, betas):
    self.T, self.betas = len(betas), torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    self.alphas = 1 - self.betas
    self.alpha_bars = self.betas.cumprod(0)
    self.snr = self.alpha_bars / (1 - self.alpha_bars)


# NoiseSchedule.__init__: an SNR of amplitudes => a ratio of amplitudes
def __init__(self, betas):
    self.T, self.betas = len(betas), torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    self.alphas = 1 - self.betas
    self.alpha_bars = self.alphas.cumprod(0)
    self.snr = (self.alpha_bars / (1 - self.alpha_bars)).sqrt()


# NoiseSchedule.signal_and_noise: the roots left off => its square root was left off
def signal_and_noise(self, t, x):
    return per_image(self.alpha_bars[t], x), per_image(1 - self.alpha_bars[t], x)


# NoiseSchedule.signal_and_noise: a single step's beta => sqrt(beta) of one step
def signal_and_noise(self, t, x):
    return per_image(self.alpha_bars[t].sqrt(), x), per_image(self.betas[t].sqrt(), x)


# NoiseSchedule.signal_and_noise: t off by one => t is off by one
def signal_and_noise(self, t, x):
    return per_image(self.alpha_bars[t - 1].sqrt(), x), per_image((1 - self.alpha_bars[t - 1]).sqrt(), x)


# NoiseSchedule.signal_and_noise: flat => use per_image
def signal_and_noise(self, t, x):
    return self.alpha_bars[t].sqrt(), (1 - self.alpha_bars[t]).sqrt()


# NoiseSchedule.add_noise: variance for standard deviation => scaled by its variance, 1 - alpha_bar
def add_noise(self, x_0, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_0=x_0, noise=noise), x_0)
    return signal * x_0 + spread**2 * noise


# NoiseSchedule.add_noise: beta_t for 1 - alpha_bar_t => the noise of a single step
def add_noise(self, x_0, t, noise):
    t = self.check(t, 0, x_0=x_0, noise=noise)
    return per_image(self.alpha_bars[t].sqrt(), x_0) * x_0 + per_image(self.betas[t].sqrt(), x_0) * noise


# NoiseSchedule.add_noise: a single step => the coefficients of a single step
def add_noise(self, x_0, t, noise):
    t = self.check(t, 0, x_0=x_0, noise=noise)
    return per_image(self.alphas[t].sqrt(), x_0) * x_0 + per_image(self.betas[t].sqrt(), x_0) * noise


# NoiseSchedule.add_noise: t off by one => t is off by one
def add_noise(self, x_0, t, noise):
    t = (self.check(t, 0, x_0=x_0, noise=noise) - 1).clamp(min=0)
    signal, spread = self.signal_and_noise(t, x_0)
    return signal * x_0 + spread * noise


# NoiseSchedule.add_noise: noise of its own => draws noise of its own
def add_noise(self, x_0, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_0=x_0, noise=noise), x_0)
    return signal * x_0 + spread * torch.randn_like(x_0)


# NoiseSchedule.predict_x_0: no division => not divided by sqrt(alpha_bar)
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    return x_t - spread * noise


# NoiseSchedule.predict_x_0: brackets forgotten => only the noise is divided
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    return x_t - spread * noise / signal


# NoiseSchedule.predict_noise: divided by the variance => divided by a variance
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 1, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) / spread**2


# NoiseSchedule.predict_noise: t = 0 let through => t = 0 must be refused
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) / spread


# NoiseSchedule.posterior: sqrt(alpha_bar) for sqrt(alpha) => sqrt(alpha_bar_t) where sqrt(alpha_t) belongs
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, before, now = self.betas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(now.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image((1 - before) / (1 - now) * beta, x_t)


# NoiseSchedule.posterior: beta for beta_tilde => this is beta_t
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image(beta, x_t)


# NoiseSchedule.posterior: a standard deviation => a standard deviation
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image(((1 - before) / (1 - now) * beta).sqrt(), x_t)


# sinusoidal_embedding: masks on rows instead of columns => over the rows
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None].float() * max_period ** -(torch.arange(dim // 2) / (dim // 2 - 1))
    angles = torch.cat([angles, angles], 1)
    result = angles.clone()
    result[0::2], result[1::2] = angles[0::2].sin(), angles[1::2].cos()
    return result


# sinusoidal_embedding: t in [0, 1] => scaled to [0, 1]
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] / 1000 * max_period ** -(torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


# sinusoidal_embedding: dim/2 in the exponent => dim/2 where dim/2 - 1 belongs
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * max_period ** -(torch.arange(dim // 2) / (dim // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


# sinusoidal_embedding: in turns => take turns
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * max_period ** -(torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


# TimeEmbedding.forward: the layers are forgotten => self.layers is never called
def forward(self, t):
    return sinusoidal_embedding(t, self.dim)


# ResidualBlock.forward: not residual => the shortcut is missing
def forward(self, x, time):
    return self.second(self.first(x) + self.time(time)[:, :, None, None])


# ResidualBlock.forward: the time is forgotten => the time is never added
def forward(self, x, time):
    return self.shortcut(x) + self.second(self.first(x))


# ResidualBlock.forward: broadcasting forgotten => it must be (N, out, 1, 1)
def forward(self, x, time):
    return self.shortcut(x) + self.second(self.first(x) + self.time(time))


# Attention.forward: never applied => attention is never applied
def forward(self, x):
    return x


# Attention.forward: not residual => not residual
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)
    return self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))


# Attention.forward: the scale is missing => the scale 1 / sqrt(C) is missing
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2), dim=-1)
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))


# Attention.forward: softmax over the wrong dimension => softmax over the queries
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=1)
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))


# Upsample.forward: convolves first => the convolution comes first
def forward(self, x):
    return F.interpolate(super(Upsample, self).forward(x), scale_factor=2, mode="nearest")


# UNet.forward: oldest skips first => takes the latest kept map
def forward(self, x_t, t):
    time, x = self.time_embedding(self.check_input(x_t, t)), self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop(0)], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# UNet.forward: the middle is left out => self.middle is left out
def forward(self, x_t, t):
    time, x = self.time_embedding(self.check_input(x_t, t)), self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# UNet.forward: the parts in the other order => x comes first
def forward(self, x_t, t):
    time, x = self.time_embedding(self.check_input(x_t, t)), self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([kept.pop(), x], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


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


# sample: clip is not passed on => {'clip': False} is not passed on
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    return list(reverse_process(model, schedule, shape, generator, variance=variance, progress=progress))[-1][1]


# sample: x_1 is returned => this is x_1
def sample(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True):
    return list(reverse_process(model, schedule, shape, generator, clip, variance, progress))[-2][1]


# sample_trajectory: the first frames => the first frames of the way
def sample_trajectory(model, schedule, shape, generator=None, clip=True, variance="beta_tilde", progress=True, frames=50):
    states = reverse_process(model, schedule, shape, generator, clip, variance, progress)
    return torch.stack([x_t.cpu() for _, x_t in list(states)[:frames]])


# EMA.update: the decay is swapped => the decay is swapped
def update(self, model):
    self.updates += 1
    kept = (1 - 1 / self.updates) ** (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.lerp_(current, kept)


# EMA.update: the model is overwritten => the model's own weights were changed
def update(self, model):
    self.updates += 1
    kept = (1 - 1 / self.updates) ** (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            current.lerp_(average, kept)


# EMA.update: never counts => self.updates += 1 comes first
def update(self, model):
    kept = (1 - 1 / self.updates) ** (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.lerp_(current, 1 - kept)


# EMA.update: gamma for gamma + 1 => gamma where gamma + 1 belongs
def update(self, model):
    self.updates += 1
    kept = (1 - 1 / self.updates) ** self.gamma
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.lerp_(current, 1 - kept)


# learning_rate_factor: no warm-up => no warm-up
def learning_rate_factor(step, steps):
    return 0.5 * (1 + math.cos(math.pi * step / steps))


# learning_rate_factor: no cap => not capped at 200
def learning_rate_factor(step, steps):
    return min(1, (step + 1) / max(1, steps // 10)) * 0.5 * (1 + math.cos(math.pi * step / steps))


# stratified_times: independent => the times are independent
def stratified_times(count, T, generator=None):
    return torch.randint(1, T + 1, (count,), generator=generator)


# stratified_times: t = 0 included => t = 0 comes
def stratified_times(count, T, generator=None):
    within = torch.rand(count, dtype=torch.float64, generator=generator)
    return ((torch.arange(count) + within) * T / count).long()


# train_step: gradients pile up => pile up
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
    if not math.isfinite(loss.item()):
        raise FloatingPointError("not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()


# train_step: no optimiser step => the weights have not changed
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()


# train_step: the average is forgotten => the average was updated 0 times
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()


# predict: clip without recomputing the noise => the noise was not computed anew
def predict(model, x_t, t, schedule, clip=True):
    noise = model(x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    return (x_0.clamp(-1, 1) if clip else x_0), noise


# ddim_step: per-step beta at stride > 1 => sigma from the beta of one step
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    then = schedule.alpha_bars[s]
    sigma = eta * ((1 - schedule.alpha_bars[t - 1]) / (1 - schedule.alpha_bars[t]) * schedule.betas[t]).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image((1 - then - sigma**2).sqrt(), x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: sigma^2 not taken out => was not taken out of the noise that is kept
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_0, noise = predict(model, x_t, t, schedule, clip)
    x_s = per_image(then.sqrt(), x_t) * x_0 + per_image((1 - then).sqrt(), x_t) * noise
    return x_s + per_image(sigma, x_t) * noise_like(x_t, generator) if eta > 0 else x_s


# ddim_step: goes to t - 1 => a step to t - 1
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    x_0, noise = predict(model, x_t, t, schedule, clip)
    return schedule.add_noise(x_0, t - 1, noise)


# ddim_step: stops one step early => one step short
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    x_0, noise = predict(model, x_t, t, schedule, clip)
    return schedule.alpha_bars[1].sqrt() * x_0 if (s == 0).all() else schedule.add_noise(x_0, s, noise)


# ddim_encode: the model asked at t => asked at t where the step back asks at s
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    with evaluating(model):
        for t, s in pairwise(times):
            noise = model(x_t, torch.full((len(x_t),), t))
            x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t


# dpm_solver_step: second order in the last step => must be of first order
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
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
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None:
        r, x_0_before = previous
        reach = torch.where(s > 0, (t - s).double() / (2 * (r - t)), 0.0)
        target = x_0 + per_image(reach, x_t) * (x_0 - x_0_before)
    shrink = spread[s] / spread[t]
    return per_image(shrink, x_t) * x_t + per_image(signal[s] - shrink * signal[t], x_t) * target, (t, x_0)


# frechet_distance: not squared => its square root
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item() ** 0.5


# frechet_distance: the roots compared => right only where the covariances commute
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    spread = (covariance_root(a) - covariance_root(b)).square().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()


# kernel_distance: pairs of a row with itself => a row's pair with itself is counted
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    return (kernel_sum(a, a) / n**2 + kernel_sum(b, b) / m**2 - 2 * kernel_sum(a, b) / (n * m)).item()


# share_inside: the point is its own neighbour => k counts the point itself
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k).values
    return (torch.cdist(points, manifold) <= radii).any(1).double().mean().item()


# kl_gaussians: the other way round => the two Gaussians are swapped
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = variance_2 / variance_1
    return (ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_1) / 2
