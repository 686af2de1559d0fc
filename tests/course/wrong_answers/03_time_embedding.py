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


# TimeEmbedding.forward: float32 features for layers of any dtype => in double precision it fails
def forward(self, t):
    return self.layers(sinusoidal_embedding(t, self.dim))


# TimeEmbedding.forward: dim without self => beside its arguments there is only what cells
def forward(self, t):
    return self.layers(sinusoidal_embedding(t, dim))


# exercise 1: the time for one radian instead of a full turn => the time for one radian
def exercise_1(dim, max_period):
    half = dim // 2
    return max_period ** (torch.arange(half) / (half - 1))


# exercise 1: the speeds, not the periods => these are the speeds
def exercise_1(dim, max_period):
    half = dim // 2
    return max_period ** (-torch.arange(half) / (half - 1))


# exercise 1: the exponent divided by dim / 2, as in the Transformer => not by dim / 2
def exercise_1(dim, max_period):
    half = dim // 2
    return 2 * math.pi * max_period ** (torch.arange(half) / half)


# exercise 1: one period for each dimension instead of each clock => one period a clock
def exercise_1(dim, max_period):
    return 2 * math.pi * max_period ** (torch.arange(dim) / (dim - 1))


# exercise 1: slowest clock first => in the wrong order
def exercise_1(dim, max_period):
    half = dim // 2
    return (2 * math.pi * max_period ** (torch.arange(half) / (half - 1))).flip(0)


# exercise 1: max_period typed in => max_period is typed in
def exercise_1(dim, max_period):
    half = dim // 2
    return 2 * math.pi * 10_000 ** (torch.arange(half) / (half - 1))


# exercise 2: the hands turn backwards => the hands turn backwards
def exercise_2(code, s):
    half = code.shape[1] // 2
    turn = s * torch.exp(-math.log(10_000) * torch.arange(half) / (half - 1))
    sin, cos = code[:, :half], code[:, half:]
    return torch.cat([sin * turn.cos() - cos * turn.sin(), cos * turn.cos() + sin * turn.sin()], dim=1)


# exercise 2: the code of s is added => don't add two codes
def exercise_2(code, s):
    return code + sinusoidal_embedding(torch.tensor([s]), code.shape[1])


# exercise 2: one sign wrong, which is no rotation => the sign of sin(omega s) in your cosines
def exercise_2(code, s):
    half = code.shape[1] // 2
    turn = s * torch.exp(-math.log(10_000) * torch.arange(half) / (half - 1))
    sin, cos = code[:, :half], code[:, half:]
    return torch.cat([sin * turn.cos() + cos * turn.sin(), cos * turn.cos() + sin * turn.sin()], dim=1)


# exercise 2: neighbouring dimensions taken for a pair => not the sine's neighbour
def exercise_2(code, s):
    half = code.shape[1] // 2
    turn = s * torch.exp(-math.log(10_000) * torch.arange(half) / (half - 1))
    sin, cos = code[:, 0::2], code[:, 1::2]
    later = torch.empty_like(code)
    later[:, 0::2] = sin * turn.cos() + cos * turn.sin()
    later[:, 1::2] = cos * turn.cos() - sin * turn.sin()
    return later


# exercise 2: every clock turns by s radians => every clock turned by s radians
def exercise_2(code, s):
    half = code.shape[1] // 2
    sin, cos = code[:, :half], code[:, half:]
    return torch.cat([sin * math.cos(s) + cos * math.sin(s), cos * math.cos(s) - sin * math.sin(s)], dim=1)


# exercise 2: the codes come back as they were => nothing turned
def exercise_2(code, s):
    return code


# exercise 3: the customary 10,000 leaves too many clocks standing still => too many clocks hardly move
def exercise_3():
    return 16, 10_000


# exercise 3: all clocks are fast, so neighbours differ => too many clocks are fast
def exercise_3():
    return 16, 2


# exercise 3: the slowest clock comes round within T steps => the slowest clock comes round again
def exercise_3():
    return 16, 100


# exercise 3: too few clocks => or add slower clocks
def exercise_3():
    return 4, 10


# exercise 3: the two numbers in the wrong order => is the order (dim, max_period)
def exercise_3():
    return 300, 16


# exercise 3: more dimensions than allowed => dim = 32 is more than 16
def exercise_3():
    return 32, 300
