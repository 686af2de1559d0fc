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
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
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
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for name, value in (("loss", loss), ("gradient", norm)):
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
    with mixed_precision(model, settings["precision"]):
        loss = noise_prediction_loss(state.network, x_0, state.schedule)
    state.optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
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
    with mixed_precision(model, settings["precision"]):
        loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
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
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
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


# exercise 1: the number of updates after which the share is down to 1/e => there the share is down to 1/e
def exercise_1(decay, share):
    return round(1 / (1 - decay))


# exercise 1: rounded down, one update too early => round up, not down
def exercise_1(decay, share):
    return math.floor(math.log(share) / math.log(decay))


# exercise 1: where the start's share has fallen by `share`, not to it => not BY it
def exercise_1(decay, share):
    return math.ceil(math.log(1 - share) / math.log(decay))


# exercise 1: not an integer => a number of updates is an integer
def exercise_1(decay, share):
    return math.log(share) / math.log(decay)


# exercise 2: the gradient is cleared before every piece => clear the gradient once, not before every piece
def exercise_2(model, x_0, schedule, t, noise, parts):
    total = 0.0
    for x, s, e in zip(x_0.chunk(parts), t.chunk(parts), noise.chunk(parts)):
        model.zero_grad()
        loss = noise_prediction_loss(model, x, schedule, s, e) * len(x) / len(x_0)
        loss.backward()
        total += loss.item()
    return total


# exercise 2: the pieces' mean losses are summed => the pieces' mean losses were summed
def exercise_2(model, x_0, schedule, t, noise, parts):
    model.zero_grad()
    total = 0.0
    for x, s, e in zip(x_0.chunk(parts), t.chunk(parts), noise.chunk(parts)):
        loss = noise_prediction_loss(model, x, schedule, s, e)
        loss.backward()
        total += loss.item()
    return total


# exercise 2: pieces of unequal size count alike => pieces of unequal size count alike
def exercise_2(model, x_0, schedule, t, noise, parts):
    model.zero_grad()
    total = 0.0
    for x, s, e in zip(x_0.chunk(parts), t.chunk(parts), noise.chunk(parts)):
        loss = noise_prediction_loss(model, x, schedule, s, e) / parts
        loss.backward()
        total += loss.item()
    return total


# exercise 2: the old gradient is never cleared => the gradient from before was added
def exercise_2(model, x_0, schedule, t, noise, parts):
    total = 0.0
    for x, s, e in zip(x_0.chunk(parts), t.chunk(parts), noise.chunk(parts)):
        loss = noise_prediction_loss(model, x, schedule, s, e) * len(x) / len(x_0)
        loss.backward()
        total += loss.item()
    return total


# exercise 2: takes an optimiser step at the end => take no optimiser step
def exercise_2(model, x_0, schedule, t, noise, parts):
    model.zero_grad()
    loss = noise_prediction_loss(model, x_0, schedule, t, noise)
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return loss.item()


# exercise 2: no gradient at all => nothing was gathered
def exercise_2(model, x_0, schedule, t, noise, parts):
    return noise_prediction_loss(model, x_0, schedule, t, noise).item()


# exercise 3: the plain mean over the whole run => the plain mean over the whole run
def exercise_3(weights):
    return weights.mean(0)


# exercise 3: the last weights, no average => that is one step's weights
def exercise_3(weights):
    return weights[-1]


# exercise 3: too few steps in the average => average over more steps
def exercise_3(weights):
    return weights[-10:].mean(0)


# exercise 3: a fixed decay that remembers the start => remembers too much of the start
def exercise_3(weights):
    average = weights[0].clone()
    for current in weights:
        average = 0.999 * average + 0.001 * current
    return average


# exercise 3: weights that do not sum to 1 => sum to 0.5, not to 1
def exercise_3(weights):
    return weights[-500:].mean(0) * 0.5
