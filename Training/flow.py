"""Noise levels and sampling. x = (1 - t) * film + t * noise; the nets answer the velocity noise - film."""
import math

import torch

SIGMA = {'t2v': 80., 'i2v': 200.}
BOUNDARY = .9


def schedule(steps, sigma):
    """The sampler's levels (rCM), highest first, and zero."""
    trig = [math.atan(sigma), 1.5, 1.4, 1.0][:steps] + [0.]
    return [math.sin(a) / (math.sin(a) + math.cos(a)) for a in trig]


def as_engine(t):
    """The timestep the engine gives its nets: 1000 t, rounded to bfloat16."""
    return (t.float() * 1000).bfloat16().float()


def times(count, generator, low=0., high=1., sigma=80.):
    """Levels to train at: log sigma normal and wide, a tenth of it towards the first level of sampling, and a little
    uniform in t for the last steps of long samplings."""
    device = generator.device
    u = torch.rand(count, generator=generator, device=device)
    logs = 1.1 + 1.6 * torch.randn(count, generator=generator, device=device)
    top = 1.5 + (math.log(sigma) + .3 - 1.5) * torch.rand(count, generator=generator, device=device)
    logs = torch.where(u < .12, top, logs)
    t = torch.sigmoid(logs)
    t = torch.where(u > .92, torch.rand(count, generator=generator, device=device), t).clamp(.002, .9965)
    if low > 0 or high < 1:  # one expert: fold what lies outside into its range
        inside = low + (high - low) * torch.rand(count, generator=generator, device=device)
        t = torch.where((t < low) | (t > high), inside, t)
    return t


def levels_through(sigma, per=(4, 3, 4, 9)):
    """A finer schedule that visits the sampler's four levels: `per` steps from each to the next, even in the angle
    between film and noise. Returns the levels and the places of the four."""
    trig = [math.atan(sigma), 1.5, 1.4, 1.0, 0.]
    def curve(a, b, n):  # even in log sigma at first, even in the angle near the film
        if b == 0:
            return [a * (1 - k / n) for k in range(n)]
        la, lb = math.log(math.tan(a)), math.log(math.tan(b))
        return [math.atan(math.exp(la + (lb - la) * k / n)) for k in range(n)]
    angles, marks = [], []
    for a, b, n in zip(trig, trig[1:], per):
        marks.append(len(angles))
        angles += curve(a, b, n)
    angles.append(0.)
    return [math.sin(a) / (math.sin(a) + math.cos(a)) for a in angles], marks


@torch.no_grad()
def integrate(velocity, x, levels):
    """The probability flow from levels[0] to the last; two-step Adams-Bashforth. Returns the states at all levels."""
    states, before, step_before = [x], None, None
    for now, after in zip(levels, levels[1:]):
        v, step = velocity(x, now), after - now
        if before is None or after == 0:
            x = x + step * v
        else:
            x = x + step * (v + .5 * step / step_before * (v - before))
        before, step_before = v, step
        states.append(x)
    return states


@torch.no_grad()
def few_steps(velocity, shape, steps, sigma, generator, device, ode=False):
    """As the engine samples: rCM levels, fresh noise after every step (or the ODE)."""
    levels = schedule(steps, sigma)
    x = torch.randn(shape, generator=generator, device=device) * levels[0]
    for now, after in zip(levels, levels[1:]):
        v = velocity(x, now)
        if ode:
            x = x - (now - after) * v
        else:
            x = (1 - after) * (x - now * v) + after * torch.randn(shape, generator=generator, device=device)
    return x
