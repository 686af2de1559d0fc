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

# noise_step: noise not scaled => the noise is not scaled: it needs the factor sqrt(beta)
def noise_step(x, beta, generator=None):
    return (1 - beta) ** 0.5 * x + noise_like(x, generator)

# noise_step: 1 - sqrt(beta) => 1 - sqrt(beta) where sqrt(1 - beta) belongs, in front of x
def noise_step(x, beta, generator=None):
    return (1 - beta**0.5) * x + beta**0.5 * noise_like(x, generator)

# noise_step: math not exported => beside its arguments there is only what cells
def noise_step(x, beta, generator=None):
    return math.sqrt(1 - beta) * x + math.sqrt(beta) * noise_like(x, generator)

# noise_step: renamed argument => its arguments must be (x, beta, generator=None), yours are (x, b, generator=None)
def noise_step(x, b, generator=None):
    return (1 - b) ** 0.5 * x + b**0.5 * noise_like(x, generator)

# noise_step: generator left out of the arguments => its arguments must be (x, beta, generator=None), yours are (x, beta)
def noise_step(x, beta):
    return (1 - beta) ** 0.5 * x + beta**0.5 * noise_like(x)

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

# noise_chain: a list => noise_chain returns a list: stack its states, torch.stack(...)
def noise_chain(x_0, betas, generator=None):
    states = [x_0]
    for beta in betas:
        states.append(noise_step(states[-1], beta, generator))
    return states

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

# linear_betas: clamp lifts => clamp(0.999) lifts every beta to 0.999: the cap is clamp(max=0.999)
def linear_betas(T):
    return (1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).clamp(0.999)

# linear_betas: T in place of T - 1 => the line must end at 0.02 for t = T: divide t - 1 by T - 1
def linear_betas(T):
    t = torch.arange(T, dtype=torch.float64)
    return (1000 / T * (1e-4 + t / T * (0.02 - 1e-4))).clamp(max=0.999)

# linear_betas: only the end scaled => only one end of the line is scaled: all of it, by 1000 / T
def linear_betas(T):
    return torch.linspace(1e-4, 0.02 * 1000 / T, T, dtype=torch.float64).clamp(max=0.999)

# linear_betas: cap at 1 => the cap is 0.999: a beta of 1 would leave nothing of the picture
def linear_betas(T):
    return (1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).clamp(max=1)

# linear_betas: a list => linear_betas(1000) must be a tensor, yours is of type list
def linear_betas(T):
    return [min(0.999, 1000 / T * (1e-4 + k / (T - 1) * 0.0199)) for k in range(T)]

# linear_betas: float32, cast later => computed in float32, and then made float64
def linear_betas(T):
    return (1000 / T * torch.linspace(1e-4, 0.02, T)).clamp(max=0.999).double()

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

# cosine_betas: brackets => 1 + s stands without its brackets
def cosine_betas(T):
    t = torch.arange(T + 1, dtype=torch.float64)
    f = torch.cos(((t / T + 0.008) / 1 + 0.008) * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)

# cosine_betas: ratio upside down => the ratio is upside down, f(t) goes above f(t - 1)
def cosine_betas(T):
    t = torch.arange(T + 1, dtype=torch.float64)
    f = torch.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[:-1] / f[1:]).clamp(max=0.999)

# cosine_betas: not divided by T => t is not divided by T
def cosine_betas(T):
    t = torch.arange(T + 1, dtype=torch.float64)
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)

# cosine_betas: difference of neighbours => the difference of neighbours: beta_t is 1 minus their ratio
def cosine_betas(T):
    t = torch.arange(T + 1, dtype=torch.float64)
    f = torch.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2
    return (f[:-1] - f[1:]).clamp(max=0.999)

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

# NoiseSchedule.__init__: snr over beta => over beta; the noise in x_t has the variance 1 - alpha_bar
def __init__(self, betas):
    self.T, self.betas = len(betas), torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    self.alphas = 1 - self.betas
    self.alpha_bars = self.alphas.cumprod(0)
    self.snr = self.alpha_bars / self.betas

# NoiseSchedule.__init__: cumsum of log kept => its logarithm, a sum of logarithms: take exp
def __init__(self, betas):
    self.T, self.betas = len(betas), torch.cat([torch.zeros(1, dtype=torch.float64), betas])
    self.alphas = 1 - self.betas
    self.alpha_bars = self.alphas.log().cumsum(0)
    self.snr = self.alpha_bars / (1 - self.alpha_bars)

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

# NoiseSchedule.signal_and_noise: precomputed attributes => a schedule has T, betas, alphas, alpha_bars and snr
def signal_and_noise(self, t, x):
    return per_image(self.sqrt_alpha_bars[t], x), per_image(self.sqrt_one_minus_alpha_bars[t], x)

# NoiseSchedule.signal_and_noise: a global schedule => beside its arguments there is only what cells
def signal_and_noise(self, t, x):
    return per_image(schedule.alpha_bars[t].sqrt(), x), per_image((1 - schedule.alpha_bars[t]).sqrt(), x)

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

# NoiseSchedule.add_noise: t not checked => t = -1 must be refused: self.check(t, 0, ...) does that
def add_noise(self, x_0, t, noise):
    signal, spread = self.signal_and_noise(torch.as_tensor(t), x_0)
    return signal * x_0 + spread * noise

# NoiseSchedule.add_noise: roots twice => signal_and_noise has taken the square roots already
def add_noise(self, x_0, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_0=x_0, noise=noise), x_0)
    return signal.sqrt() * x_0 + spread.sqrt() * noise

# NoiseSchedule.add_noise: method called without self => beside its arguments there is only what cells
def add_noise(self, x_0, t, noise):
    t = self.check(t, 0, x_0=x_0, noise=noise)
    signal, spread = signal_and_noise(t, x_0)
    return signal * x_0 + spread * noise

# NoiseSchedule.predict_x_0: no division => not divided by sqrt(alpha_bar)
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    return x_t - spread * noise

# NoiseSchedule.predict_x_0: brackets forgotten => only the noise is divided
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    return x_t - spread * noise / signal

# NoiseSchedule.predict_x_0: predicts the noise => signal and spread are swapped: divide by sqrt(alpha_bar)
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    return (x_t - signal * noise) / spread

# NoiseSchedule.predict_x_0: a single step => the coefficients of a single step (Eq. 2): Eq. 4 has alpha bar
def predict_x_0(self, x_t, t, noise):
    t = self.check(t, 0, x_t=x_t, noise=noise)
    return (x_t - per_image(self.betas[t].sqrt(), x_t) * noise) / per_image(self.alphas[t].sqrt(), x_t)

# NoiseSchedule.predict_x_0: no per_image => each image has a t of its own
def predict_x_0(self, x_t, t, noise):
    t = self.check(t, 0, x_t=x_t, noise=noise)
    return (x_t - (1 - self.alpha_bars[t]).sqrt() * noise) / self.alpha_bars[t].sqrt()

# NoiseSchedule.predict_x_0: in place => predict_x_0 changes the tensor that it is given: make a new one
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
    x_t -= spread * noise
    return x_t / signal

# NoiseSchedule.predict_x_0: not checked => t = -1 must be refused: self.check(t, 0, ...) does that
def predict_x_0(self, x_t, t, noise):
    signal, spread = self.signal_and_noise(torch.as_tensor(t), x_t)
    return (x_t - spread * noise) / signal

# NoiseSchedule.predict_noise: divided by the variance => divided by a variance
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 1, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) / spread**2

# NoiseSchedule.predict_noise: t = 0 let through => t = 0 must be refused
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) / spread

# NoiseSchedule.predict_noise: divided by signal => divided by sqrt(alpha_bar): divide by sqrt(1 - alpha_bar)
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 1, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) / signal

# NoiseSchedule.predict_noise: multiplied => multiplied by sqrt(1 - alpha_bar), divide
def predict_noise(self, x_t, t, x_0):
    signal, spread = self.signal_and_noise(self.check(t, 1, x_t=x_t, x_0=x_0), x_t)
    return (x_t - signal * x_0) * spread

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

# NoiseSchedule.posterior: no per_image => each image has a t of its own
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, (1 - before) / (1 - now) * beta

# NoiseSchedule.posterior: the root of beta in the weight of x_0 => beta_t has no root in the weight of x_0
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta.sqrt() / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, (1 - before) / (1 - now) * beta

# NoiseSchedule.posterior: a log variance => its logarithm, kept from -infinity: the variance itself is asked for
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, ((1 - before) / (1 - now) * beta).clamp(min=1e-20).log()

# NoiseSchedule.posterior: 1 - alpha_bar_t under a root => the weights are divided by sqrt(1 - alpha_bar_t), there is no root
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = (before.sqrt() * beta * x_0 + alpha.sqrt() * (1 - before) * x_t) / (1 - now).sqrt()
    return mean, (1 - before) / (1 - now) * beta

# NoiseSchedule.posterior: noise added => the posterior's mean is random
def posterior(self, x_0, x_t, t):
    t = self.check(t, 1, x_0=x_0, x_t=x_t)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    variance = (1 - before) / (1 - now) * beta
    return mean + variance.sqrt() * torch.randn_like(x_t), variance

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

# sinusoidal_embedding: t not a column => every t meets every frequency: t[:, None] times them is (N, dim/2)
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t * max_period ** -(torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], dim=1)

# sinusoidal_embedding: linear frequencies => the frequencies lie on a line
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * torch.linspace(1, 1 / max_period, dim // 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)

# sinusoidal_embedding: the exponent's sign => the frequencies rise to max_period
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * max_period ** (torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], dim=1)

# sinusoidal_embedding: as in the Transformer => sines and cosines take turns, as in the Transformer
def sinusoidal_embedding(t, dim, max_period=10_000):
    k = torch.arange(dim)
    angles = t[:, None] * max_period ** -(2 * (k // 2) / dim)
    return torch.where(k % 2 == 0, angles.sin(), angles.cos())

# sinusoidal_embedding: cat on dim 0 => the cosines stand below the sines
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * max_period ** -(torch.arange(dim // 2) / (dim // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()])

# sinusoidal_embedding: k starts at 1 => the first frequency must be 1: k runs from 0
def sinusoidal_embedding(t, dim, max_period=10_000):
    angles = t[:, None] * max_period ** -(torch.arange(1, dim // 2 + 1) / (dim // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)

# TimeEmbedding.forward: the layers are forgotten => self.layers is never called
def forward(self, t):
    return sinusoidal_embedding(t, self.dim)

# TimeEmbedding.forward: dim without self => beside its arguments there is only what cells
def forward(self, t):
    return self.layers(sinusoidal_embedding(t, dim))

# ResidualBlock.forward: not residual => the shortcut is missing
def forward(self, x, time):
    return self.second(self.first(x) + self.time(time)[:, :, None, None])

# ResidualBlock.forward: the time is forgotten => the time is never added
def forward(self, x, time):
    return self.shortcut(x) + self.second(self.first(x))

# ResidualBlock.forward: broadcasting forgotten => it must be (N, out, 1, 1)
def forward(self, x, time):
    return self.shortcut(x) + self.second(self.first(x) + self.time(time))

# ResidualBlock.forward: the time before the first => the time is added before the first convolution: add it after
def forward(self, x, time):
    return self.shortcut(x) + self.second(self.first(x + self.time(time)[:, :, None, None]))

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

# Attention.forward: reshape mixes => channels and places are mixed up
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, h * w, 3, c).unbind(2)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))

# Attention.forward: no transpose back => places and channels are mixed up on the way back
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)
    return x + self.out((weights @ value).reshape(n, c, h, w))

# Attention.forward: channels attend to channels => the channels attend to each other: the scores must be (N, H W, H W)
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)
    return x + self.out((weights @ value).reshape(n, c, h, w))

# Attention.forward: value, key, query => the value comes last: the channels are those of the query, then the key, then the value
def forward(self, x):
    n, c, h, w = x.shape
    value, key, query = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))

# Attention.forward: no softmax => no softmax
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = query @ key.transpose(1, 2) / c**0.5
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))

# Attention.forward: scaled after the softmax => the scores are scaled after the softmax: scale them before
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)
    weights = torch.softmax(query @ key.transpose(1, 2), dim=-1) / c**0.5
    return x + self.out((weights @ value).transpose(1, 2).reshape(n, c, h, w))

# Attention.forward: the transpose of the weights => the weights are applied transposed
def forward(self, x):
    n, c, h, w = x.shape
    query, key, value = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w).unbind(1)
    weights = torch.softmax(query.transpose(1, 2) @ key / c**0.5, dim=-1)
    return x + self.out((value @ weights).reshape(n, c, h, w))

# Upsample.forward: convolves first => the convolution comes first
def forward(self, x):
    return F.interpolate(super(Upsample, self).forward(x), scale_factor=2, mode="nearest")

# Upsample.forward: recursion => self(...) calls this forward again
def forward(self, x):
    return self(F.interpolate(x, scale_factor=2))

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

# UNet.forward: stem not kept => the maps do not fit together
def forward(self, x_t, t):
    time, x = self.time_embedding(self.check_input(x_t, t)), self.stem(x_t)
    kept = []
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)

# UNet.forward: t not checked => an int t must do as well: embed what self.check_input(x_t, t) returns
def forward(self, x_t, t):
    time, x = self.time_embedding(t), self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
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

# EMA.update: a fixed decay => a constant decay of 0.9999, not kept = (1 - 1/k)^(gamma + 1)
def update(self, model):
    self.updates += 1
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.mul_(0.9999).add_(0.0001 * current)

# EMA.update: counts every parameter => counted for every parameter: count once in an update
def update(self, model):
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            self.updates += 1
            kept = (1 - 1 / self.updates) ** (self.gamma + 1)
            average.lerp_(current, 1 - kept)

# EMA.update: 1 - (1/k)^(gamma + 1) => 1 - (1/k)^(gamma + 1) where (1 - 1/k)^(gamma + 1) belongs
def update(self, model):
    self.updates += 1
    kept = 1 - (1 / self.updates) ** (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.lerp_(current, 1 - kept)

# EMA.update: the old average keeps all => the new weights are added and the old average keeps all
def update(self, model):
    self.updates += 1
    kept = (1 - 1 / self.updates) ** (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.add_((1 - kept) * current)

# EMA.update: gamma multiplied => times gamma + 1, it is an exponent
def update(self, model):
    self.updates += 1
    kept = (1 - 1 / self.updates) * (self.gamma + 1)
    with torch.no_grad():
        for average, current in zip(self.model.parameters(), model.parameters()):
            average.lerp_(current, 1 - kept)

# learning_rate_factor: no warm-up => no warm-up
def learning_rate_factor(step, steps):
    return 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: no cap => not capped at 200
def learning_rate_factor(step, steps):
    return min(1, (step + 1) / max(1, steps // 10)) * 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: the cosine begins after the warm-up => the cosine begins after the warm-up
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))

# learning_rate_factor: no cosine during the warm-up => the cosine is left out during the warm-up
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: quarter => a quarter turn, cos from 0 to pi / 2: 0.5 (1 + cos) from 0 to pi
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * math.cos(math.pi / 2 * step / steps)

# learning_rate_factor: not at least 1 => a run of fewer than ten steps has a warm-up too: at least 1
def learning_rate_factor(step, steps):
    warm_up = min(steps // 10, 200)
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: no min, rises on => the rise goes on above 1: min(1, ...)
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    return (step + 1) / warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: always 200 => the warm-up takes 200 steps in every run
def learning_rate_factor(step, steps):
    return min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: max for min => the warm-up takes at least 200 steps, max for min
def learning_rate_factor(step, steps):
    warm_up = max(steps // 10, 200)
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))

# learning_rate_factor: the factor is 1 minus the cosine => the cosine rises from 0 to 1: 1 + cos, not 1 - cos
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * 0.5 * (1 - math.cos(math.pi * step / steps))

# learning_rate_factor: step + 1 in the cosine => step + 1 belongs in the warm-up alone
def learning_rate_factor(step, steps):
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * (step + 1) / steps))

# stratified_times: independent => the times are independent
def stratified_times(count, T, generator=None):
    return torch.randint(1, T + 1, (count,), generator=generator)

# stratified_times: t = 0 included => t = 0 comes
def stratified_times(count, T, generator=None):
    within = torch.rand(count, dtype=torch.float64, generator=generator)
    return ((torch.arange(count) + within) * T / count).long()

# stratified_times: whole slices => with 16 slices of 1..100 some times never come
def stratified_times(count, T, generator=None):
    width = T // count
    return torch.arange(count) * width + torch.randint(1, width + 1, (count,), generator=generator)

# stratified_times: a list => stratified_times(10, 100) must be a tensor, yours is of type list
def stratified_times(count, T, generator=None):
    return [int((k + torch.rand(1, generator=generator)) * T / count) + 1 for k in range(count)]

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

# train_step: only the loss is looked at => a gradient that is not finite must raise FloatingPointError
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(loss.item()):
        raise FloatingPointError("the loss is not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()


# train_step: no mean over the processes => this is the loss of one process among several
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for name, value in (("loss", loss), ("gradient", length)):
        if not torch.isfinite(value):
            raise FloatingPointError(f"the {name} is not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()


# train_step: draws t and noise anew => new times and noise are drawn: hand those of draw_batch to the loss
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    with mixed_precision(state):
        loss = noise_prediction_loss(state.network, x_0, state.schedule, generator=state.generator)
    state.optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not (torch.isfinite(loss) and torch.isfinite(length)):
        raise FloatingPointError("not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()

# train_step: counted before the rate => the step is counted too early: the first step has state.step = 0
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    with mixed_precision(state):
        loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not (torch.isfinite(loss) and torch.isfinite(length)):
        raise FloatingPointError("not finite")
    state.step += 1
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.losses.append(loss.item())
    return loss.item()

# train_step: clip after the step => the gradient is clipped after the step: clip it before
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()

# train_step: the average first => the average is taken before the optimiser's step: take it after
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(loss.item()):
        raise FloatingPointError("not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.ema.update(model)
    state.optimizer.step()
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()

# train_step: tensors kept, a float returned => state.losses must hold the losses that are returned, as floats
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(loss.item()):
        raise FloatingPointError("not finite")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss)
    return loss.item()

# train_step: the rate set after the step => the learning rate is set after the optimiser's step: set it before
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(loss.item()):
        raise FloatingPointError("not finite")
    state.optimizer.step()
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()

# train_step: the rate multiplied step by step => the last step's rate is multiplied by the factor
def train_step(state, images):
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in state.optimizer.param_groups:
        group["lr"] = group["lr"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return loss.item()

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

# ddim_step: no per_image => each image has a t of its own
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: sigma not squared => sigma where sigma^2 belongs, under the root of the noise that is kept
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma).clamp(min=0).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: no root of alpha_bar_s => the square root of alpha_bar_s was left off, in front of x_0
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: clip ignored => x_0 is clipped although clip=False: pass clip on
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: eta squared => eta is squared
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta**2 * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: sigma without its root => sigma is squared, or lacks its square root
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * (1 - then) / (1 - now) * (1 - now / then)
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: x_0 clipped, the noise left as it was => x_0 was clipped and the noise was not computed anew
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    noise = model(x_t, t)
    x_0 = schedule.predict_x_0(x_t, t, noise)
    x_0 = x_0.clamp(-1, 1) if clip else x_0
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * noise_like(x_t, generator) if eta > 0 else x_s

# ddim_step: no generator => ddim_step differs from call to call with the same seed
def ddim_step(model, x_t, t, s, schedule, eta=0.0, generator=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    now, then = (per_image(schedule.alpha_bars[k], x_t) for k in (t, s))
    x_0, noise = predict(model, x_t, t, schedule, clip)
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
    x_s = then.sqrt() * x_0 + (1 - then - sigma**2).sqrt() * noise
    return x_s + sigma * torch.randn_like(x_t) if eta > 0 else x_s

# ddim_encode: the model asked at t => asked at t where the step back asks at s
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    with evaluating(model):
        for t, s in pairwise(times):
            noise = model(x_t, torch.full((len(x_t),), t))
            x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t

# ddim_encode: forgets to reverse => this is the way down, from T to 0: turn the times round
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing), x_0
    with evaluating(model):
        for t, s in pairwise(times):
            noise = model(x_t, torch.full((len(x_t),), s))
            x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t

# ddim_encode: spacing ignored => the argument spacing is not used
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps)[::-1], x_0
    with evaluating(model):
        for t, s in pairwise(times):
            noise = model(x_t, torch.full((len(x_t),), s))
            x_t = schedule.add_noise(schedule.predict_x_0(x_t, t, noise), s, noise)
    return x_t

# ddim_encode: from x_0 each time => every step starts from the x_0 that was given
def ddim_encode(model, schedule, x_0, steps=50, progress=True, spacing="time"):
    times, x_t = sampling_times(schedule, steps, spacing)[::-1], x_0
    with evaluating(model):
        for t, s in pairwise(times):
            noise = model(x_t, torch.full((len(x_t),), s))
            x_t = schedule.add_noise(x_0, s, noise)
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

# dpm_solver_step: all or none of second order => only that one is of first order
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)


# dpm_solver_step: no per_image => each image has a t of its own
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + (lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])) * (x_0 - old)
    shrink = spread[s] / spread[t]
    return shrink * x_t + (signal[s] - shrink * signal[t]) * target, (t, x_0)

# dpm_solver_step: the noise for x_0 => the model's noise stands where x_0 belongs
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    _, x_0 = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)

# dpm_solver_step: the target is returned in place of x_0 => the target is returned: return the prediction x_0 itself
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, clip)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, target)

# dpm_solver_step: clip ignored => x_0 is clipped although clip=False: pass clip on
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)

# dpm_solver_step: clip always off => the argument clip is not used
def dpm_solver_step(model, x_t, t, s, schedule, previous=None, clip=True):
    t, s = check_step(x_t, t, s, schedule)
    signal, spread = schedule.alpha_bars.sqrt(), (1 - schedule.alpha_bars).sqrt()
    lamda = (signal / spread).log()
    x_0, _ = predict(model, x_t, t, schedule, False)
    target = x_0
    if previous is not None and (s > 0).all():
        r, old = previous
        target = x_0 + per_image((lamda[s] - lamda[t]) / (2 * (lamda[t] - lamda[r])), x_t) * (x_0 - old)
    shrink = per_image(spread[s] / spread[t], x_t)
    return shrink * x_t + (per_image(signal[s], x_t) - shrink * per_image(signal[t], x_t)) * target, (t, x_0)

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

# frechet_distance: the mean of the squares of the means => the mean of the squared differences of the means: their sum
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().mean() + spread).item()

# frechet_distance: trace of the roots => the traces of the roots where those of the covariances belong
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.trace() + root_b.trace() - 2 * torch.linalg.svdvals(root_a @ root_b).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()

# frechet_distance: eigenvalues of the product of roots => the eigenvalues' roots where the singular values of root_a @ root_b belong
def frechet_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    root_a, root_b = covariance_root(a), covariance_root(b)
    spread = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.eigvals(root_a @ root_b).real.clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()

# kernel_distance: pairs of a row with itself => a row's pair with itself is counted
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    return (kernel_sum(a, a) / n**2 + kernel_sum(b, b) / m**2 - 2 * kernel_sum(a, b) / (n * m)).item()

# kernel_distance: diagonal kernel is one per row => a row's kernel with itself is not 1, it is (x . x / D + 1)^3
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    return ((kernel_sum(a, a) - n) / (n * (n - 1)) + (kernel_sum(b, b) - m) / (m * (m - 1)) - 2 * kernel_sum(a, b) / (n * m)).item()

# kernel_distance: clamped at zero => it is negative here: don't clamp it
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    own = [((x.square().sum(1) / x.shape[1] + 1) ** 3).sum() for x in (a, b)]
    d = (kernel_sum(a, a) - own[0]) / (n * (n - 1)) + (kernel_sum(b, b) - own[1]) / (m * (m - 1)) - 2 * kernel_sum(a, b) / (n * m)
    return d.clamp(min=0).item()

# kernel_distance: half of the pairs => each pair counts twice in kernel_sum
def kernel_distance(features_a, features_b):
    a, b = check_features(features_a=features_a, features_b=features_b)
    n, m = len(a), len(b)
    own = [((x.square().sum(1) / x.shape[1] + 1) ** 3).sum() for x in (a, b)]
    return ((kernel_sum(a, a) - own[0]) / (n * (n - 1) / 2) + (kernel_sum(b, b) - own[1]) / (m * (m - 1) / 2) - 2 * kernel_sum(a, b) / (n * m)).item()

# share_inside: the point is its own neighbour => k counts the point itself
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k).values
    return (torch.cdist(points, manifold) <= radii).any(1).double().mean().item()

# share_inside: share of the balls => the share of the balls that hold a point
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    return (torch.cdist(points, manifold) <= radii).any(0).double().mean().item()

# share_inside: mean over all pairs => the mean over all pairs: a point is inside if any ball holds it
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    return (torch.cdist(points, manifold) <= radii).double().mean().item()

# share_inside: nearest manifold point only => only the nearest ball was asked: a farther one may be larger
def share_inside(points, manifold, k):
    radii = torch.cdist(manifold, manifold).kthvalue(k + 1).values
    distance, nearest = torch.cdist(points, manifold).min(1)
    return (distance <= radii[nearest]).double().mean().item()

# kl_gaussians: the other way round => the two Gaussians are swapped
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = variance_2 / variance_1
    return (ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_1) / 2

# kl_gaussians: the half on the first part alone => the half is missing before the mean difference
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log()) + (mean_1 - mean_2) ** 2 / variance_2

# kl_gaussians: the half on the last part alone => the half is missing before the variances
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return ratio - 1 - ratio.log() + (mean_1 - mean_2) ** 2 / (2 * variance_2)

# kl_gaussians: distance not squared => the mean difference is not squared
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log() + (mean_1 - mean_2).abs() / variance_2)

# kl_gaussians: the 1 forgotten => the - 1 is missing
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - ratio.log() + (mean_1 - mean_2) ** 2 / variance_2)

# kl_gaussians: variance_2 squared => the mean difference is divided by variance_2 squared
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log() + (mean_1 - mean_2) ** 2 / variance_2**2)

# kl_gaussians: bits => log2: nats have the natural logarithm
def kl_gaussians(mean_1, variance_1, mean_2, variance_2):
    ratio = torch.as_tensor(variance_1 / variance_2, dtype=torch.float64)
    return 0.5 * (ratio - 1 - ratio.log2() + (mean_1 - mean_2) ** 2 / variance_2)
