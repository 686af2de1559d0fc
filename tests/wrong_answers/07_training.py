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
