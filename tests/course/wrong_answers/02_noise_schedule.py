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
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, before, now = self.betas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(now.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image((1 - before) / (1 - now) * beta, x_t)


# NoiseSchedule.posterior: beta for beta_tilde => this is beta_t
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image(beta, x_t)


# NoiseSchedule.posterior: a standard deviation => a standard deviation
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image(((1 - before) / (1 - now) * beta).sqrt(), x_t)


# NoiseSchedule.posterior: no per_image => each image has a t of its own
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, (1 - before) / (1 - now) * beta


# NoiseSchedule.posterior: the root of beta in the weight of x_0 => beta_t has no root in the weight of x_0
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta.sqrt() / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, (1 - before) / (1 - now) * beta


# NoiseSchedule.posterior: a log variance => its logarithm, kept from -infinity: the variance itself is asked for
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    return mean, ((1 - before) / (1 - now) * beta).clamp(min=1e-20).log()


# NoiseSchedule.posterior: 1 - alpha_bar_t under a root => the weights are divided by sqrt(1 - alpha_bar_t), there is no root
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = (before.sqrt() * beta * x_0 + alpha.sqrt() * (1 - before) * x_t) / (1 - now).sqrt()
    return mean, (1 - before) / (1 - now) * beta


# NoiseSchedule.posterior: noise added => the posterior's mean is random
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = (per_image(v, x_t) for v in (self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]))
    mean = before.sqrt() * beta / (1 - now) * x_0 + alpha.sqrt() * (1 - before) / (1 - now) * x_t
    variance = (1 - before) / (1 - now) * beta
    return mean + variance.sqrt() * torch.randn_like(x_t), variance


# NoiseSchedule.posterior: s is not used => s is not used: this goes to t - 1
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image((1 - before) / (1 - now) * beta, x_t)


# NoiseSchedule.posterior: one step's beta in a long step => alphas[t] and betas[t] belong to one step
def posterior(self, x_t, t, x_0, s=None):
    t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
    beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[s], self.alpha_bars[t]
    a = per_image(before.sqrt() * beta / (1 - now), x_t)
    b = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
    return a * x_0 + b * x_t, per_image((1 - before) / (1 - now) * beta, x_t)


# exercise 1: the product runs over all T steps => the product over all T steps
def exercise_1(betas, t):
    return (1 - betas).prod()


# exercise 1: off by one, a step too many => one factor too many
def exercise_1(betas, t):
    return (1 - betas[: t + 1]).prod()


# exercise 1: betas indexed as if beta_0 stood in front => beta_1 is left out
def exercise_1(betas, t):
    return (1 - betas[1:t]).prod() if t > 1 else 1 - betas[0] * 0


# exercise 1: the alpha of one step => this is alpha_3 alone
def exercise_1(betas, t):
    return 1 - betas[t - 1]


# exercise 1: the betas multiplied => this multiplies the betas
def exercise_1(betas, t):
    return betas[:t].prod()


# exercise 1: the betas added up => this adds the betas up
def exercise_1(betas, t):
    return 1 - betas[:t].sum()


# exercise 1: the amplitude in the place of the power => the amplitude, not the share of power
def exercise_1(betas, t):
    return (1 - betas[:t]).prod().sqrt()


# exercise 1: right but for t = 0 => index -1 is the last entry
def exercise_1(betas, t):
    return (1 - betas).cumprod(0)[t - 1]


# exercise 1: the whole array => not the whole array
def exercise_1(betas, t):
    return (1 - betas[:t]).cumprod(0)


# exercise 2: jumps as if x_s were x_0 => sqrt(alpha_bar_t) is for x_0
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.add_noise(x_s, t, noise)


# exercise 2: the noise of the whole way from t = 0 => this is the noise of all t steps
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - schedule.alpha_bars[t]).sqrt() * noise


# exercise 2: the difference of the noise variances => forgets that the noise in x_s shrinks
def exercise_2(schedule, x_s, s, t, noise):
    at_s, at_t = schedule.alpha_bars[s], schedule.alpha_bars[t]
    return (at_t / at_s).sqrt() * x_s + (at_s - at_t).sqrt() * noise


# exercise 2: no square roots => this is the product of the alphas itself; a square root is missing
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left * x_s + (1 - left) * noise


# exercise 2: the variance in the place of the standard deviation => the noise is scaled by its variance
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alpha_bars[t] / schedule.alpha_bars[s]
    return left.sqrt() * x_s + (1 - left) * noise


# exercise 2: the product starts at s => your product starts at alpha_s
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s : t + 1].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: the product stops before t => your product stops one step before t
def exercise_2(schedule, x_s, s, t, noise):
    left = schedule.alphas[s + 1 : t].prod()
    return left.sqrt() * x_s + (1 - left).sqrt() * noise


# exercise 2: one step only => this is the single step to t
def exercise_2(schedule, x_s, s, t, noise):
    return schedule.alphas[t].sqrt() * x_s + schedule.betas[t].sqrt() * noise


# exercise 3: the linear schedule, too hasty at the start => more than 0.2: too hasty at the start
def exercise_3(T):
    return linear_betas(T)


# exercise 3: the cosine schedule => more than 0.2: too hasty at the end
def exercise_3(T):
    return cosine_betas(T)


# exercise 3: the betas of a longer schedule => were these betas meant for more steps
def exercise_3(T):
    return torch.linspace(1e-4, 0.02, T)


# exercise 3: alpha bars returned as betas => alpha bars, not betas
def exercise_3(T):
    return torch.sigmoid(torch.linspace(8, -8, T))


# exercise 3: beta_0 included => leave out beta_0
def exercise_3(T):
    alpha_bars = torch.cat([torch.ones(1), torch.sigmoid(torch.linspace(8, -8, T))])
    return torch.cat([torch.zeros(1), 1 - alpha_bars[1:] / alpha_bars[:-1]])


# exercise 3: beta_1 forgotten => beta_1 is missing
def exercise_3(T):
    alpha_bars = torch.sigmoid(torch.linspace(8, -8, T))
    return 1 - alpha_bars[1:] / alpha_bars[:-1]


# exercise 3: starts with a large step => the first step is too large
def exercise_3(T):
    log_snr = torch.linspace(3, -8, T, dtype=torch.float64)
    alpha_bars = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(log_snr)])
    return 1 - alpha_bars[1:] / alpha_bars[:-1]
