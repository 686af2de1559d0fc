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
    return F.interpolate(F.conv2d(x, self.weight, self.bias, padding=1), scale_factor=2, mode="nearest")


# Upsample.forward: recursion => self(...) calls this forward again
def forward(self, x):
    return self(F.interpolate(x, scale_factor=2))


# UNet.denoise: oldest skips first => takes the latest kept map
def denoise(self, x_t, time):
    x = self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop(0)], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# UNet.denoise: the middle is left out => self.middle is left out
def denoise(self, x_t, time):
    x = self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# UNet.denoise: the parts in the other order => x comes first
def denoise(self, x_t, time):
    x = self.stem(x_t)
    kept = [x]
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([kept.pop(), x], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# UNet.denoise: stem not kept => the maps do not fit together
def denoise(self, x_t, time):
    x = self.stem(x_t)
    kept = []
    for layer in self.down:
        x = layer(x, time) if isinstance(layer, Block) else layer(x)
        kept.append(x)
    for block in self.middle:
        x = block(x, time)
    for layer in self.up:
        x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
    return self.head(x)


# exercise 1: the biases of the convolutions and of the linear layer are left out => has a bias for each output channel
def exercise_1(in_channels, out_channels, time_channels):
    first = 2 * in_channels + 9 * in_channels * out_channels
    second = 2 * out_channels + 9 * out_channels * out_channels
    shortcut = in_channels * out_channels if in_channels != out_channels else 0
    return first + time_channels * out_channels + second + shortcut


# exercise 1: the shortcut is counted even where it is the identity => the shortcut is the identity, without parameters
def exercise_1(in_channels, out_channels, time_channels):
    first = 2 * in_channels + 9 * in_channels * out_channels + out_channels
    time = time_channels * out_channels + out_channels
    second = 2 * out_channels + 9 * out_channels * out_channels + out_channels
    return first + time + second + in_channels * out_channels + out_channels


# exercise 1: the normalisations are taken to have no parameters => a normalisation has parameters too
def exercise_1(in_channels, out_channels, time_channels):
    first = 9 * in_channels * out_channels + out_channels
    time = time_channels * out_channels + out_channels
    second = 9 * out_channels * out_channels + out_channels
    shortcut = in_channels * out_channels + out_channels if in_channels != out_channels else 0
    return first + time + second + shortcut


# exercise 1: the shortcut is never counted => the shortcut is missing
def exercise_1(in_channels, out_channels, time_channels):
    first = 2 * in_channels + 9 * in_channels * out_channels + out_channels
    time = time_channels * out_channels + out_channels
    second = 2 * out_channels + 9 * out_channels * out_channels + out_channels
    return first + time + second


# exercise 2: the softmax runs over the queries instead of the keys => softmax over the wrong axis
def exercise_2(query, key, value, heads):
    n, length, channels = query.shape
    q, k, v = (x.reshape(n, length, heads, channels // heads).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-2, -1) / (channels // heads) ** 0.5, dim=-2)
    return (weights @ v).transpose(1, 2).reshape(n, length, channels)


# exercise 2: scaled by the width of all heads together => C / heads, not of C
def exercise_2(query, key, value, heads):
    n, length, channels = query.shape
    q, k, v = (x.reshape(n, length, heads, channels // heads).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-2, -1) / channels**0.5, dim=-1)
    return (weights @ v).transpose(1, 2).reshape(n, length, channels)


# exercise 2: not transposed back, so that heads and pixels are mixed up => heads and pixels are mixed up
def exercise_2(query, key, value, heads):
    n, length, channels = query.shape
    q, k, v = (x.reshape(n, length, heads, channels // heads).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-2, -1) / (channels // heads) ** 0.5, dim=-1)
    return (weights @ v).reshape(n, length, channels)


# exercise 2: one head, whatever was asked for => the heads are ignored
def exercise_2(query, key, value, heads):
    weights = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1)
    return weights @ value


# exercise 2: neighbouring channels go to different heads => not every fourth one
def exercise_2(query, key, value, heads):
    n, length, channels = query.shape
    q, k, v = (x.reshape(n, length, channels // heads, heads).permute(0, 3, 1, 2) for x in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-2, -1) / (channels // heads) ** 0.5, dim=-1)
    return (weights @ v).permute(0, 2, 3, 1).reshape(n, length, channels)


# exercise 3: the hooks are never removed, so that the cuts add up => call remove() on every handle
def exercise_3(model, x_t, t, noise):
    errors = []
    for _, taker, width in skip_pairs(model):
        model.get_submodule(taker).register_forward_pre_hook(zero_kept(width))
        with torch.no_grad():
            errors.append(((model(x_t, t) - noise) ** 2).mean().item())
    return errors


# exercise 3: the skips are taken in the order of the way up => the order is reversed
def exercise_3(model, x_t, t, noise):
    errors = []
    for _, taker, width in reversed(skip_pairs(model)):
        handle = model.get_submodule(taker).register_forward_pre_hook(zero_kept(width))
        with torch.no_grad():
            errors.append(((model(x_t, t) - noise) ** 2).mean().item())
        handle.remove()
    return errors


# exercise 3: the first channels are zeroed, not the kept ones => the wrong channels are zeroed
def exercise_3(model, x_t, t, noise):
    errors = []
    for _, taker, width in skip_pairs(model):
        def hook(module, inputs, width=width):
            return torch.cat([torch.zeros_like(inputs[0][:, :width]), inputs[0][:, width:]], dim=1), inputs[1]
        handle = model.get_submodule(taker).register_forward_pre_hook(hook)
        with torch.no_grad():
            errors.append(((model(x_t, t) - noise) ** 2).mean().item())
        handle.remove()
    return errors


# exercise 3: the hook comes off before the model runs => nothing is cut
def exercise_3(model, x_t, t, noise):
    errors = []
    for _, taker, width in skip_pairs(model):
        handle = model.get_submodule(taker).register_forward_pre_hook(zero_kept(width))
        handle.remove()
        with torch.no_grad():
            errors.append(((model(x_t, t) - noise) ** 2).mean().item())
    return errors
