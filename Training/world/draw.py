"""A canvas of clips, and the shapes that are painted on it.

Everything is batched: an image is [B,T,3,H,W], a mask or coordinate broadcasts to [B,T,1,H,W], a number per clip is
[B,1,1,1,1]. Coordinates are in units of 1/144 of the frame's short side, with their origin in the middle of the frame
and y pointing down. A shape is a distance: positive inside, zero on its border.
"""
import functools
import math

import torch


def put(values, device, dtype):
    """Numbers on the device; on a GPU without waiting for it."""
    value = torch.tensor(values, dtype=dtype)
    return value.pin_memory().to(device, non_blocking=True) if torch.device(device).type == 'cuda' else value.to(device)


def lift(values, device, dtype):
    """A number per clip as [B,1,1,1,1]."""
    return put(list(values), device, dtype)[:, None, None, None, None]


@functools.lru_cache(4096)
def constant(values, device, dtype):
    """A fixed tensor, made once for a device."""
    return torch.tensor(values, device=device, dtype=dtype)


def scatter(i, j, seed):
    """A number in 0..1 that looks random, for whole numbers i and j and a seed per clip."""
    value = torch.sin(i * 12.9898 + j * 78.233 + seed * 37.719) * 437.5453
    return value - torch.floor(value)


def turn(x, y, angle):
    """Coordinates in a frame turned by `angle` (clockwise on screen)."""
    c, s = torch.cos(angle), torch.sin(angle)
    return c * x + s * y, c * y - s * x


def disc(x, y, cx, cy, r):
    return r - torch.sqrt((x - cx) ** 2 + (y - cy) ** 2 + 1e-6)


def oval(x, y, cx, cy, rx, ry):
    """Nearly a distance, exact enough on the border."""
    return (1 - torch.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + 1e-6)) * min(rx, ry)


def box(x, y, cx, cy, half_width, half_height, corner=0.):
    dx, dy = (x - cx).abs() - half_width + corner, (y - cy).abs() - half_height + corner
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2)
    return corner - outside - torch.maximum(dx, dy).clamp(max=0)


def tip(x, y, cx, top, bottom, half_width):
    """A triangle standing on its base: tip at (cx, top)."""
    slope = half_width / (bottom - top)
    return torch.minimum(bottom - y, ((y - top) * slope - (x - cx).abs()) / math.sqrt(1 + slope * slope))


def joined(*shapes):
    out = shapes[0]
    for shape in shapes[1:]:
        out = torch.maximum(out, shape)
    return out


def common(*shapes):
    out = shapes[0]
    for shape in shapes[1:]:
        out = torch.minimum(out, shape)
    return out


class Canvas:
    """The clips being drawn, with their camera, light and jitter.

    frames: frame numbers at 16 a second; total: frames of the whole film (actions and camera moves span it).
    """

    def __init__(self, jitter, frames, total, height, width, device, dtype):
        clips, count = len(jitter), len(frames)
        self.unit = min(height, width) / 144
        self.device, self.dtype = device, dtype
        make = lambda n: torch.arange(n, device=device, dtype=dtype)
        self.x0 = ((make(width) + .5 - width / 2) / self.unit)[None, None, None, None, :]
        self.y0 = ((make(height) + .5 - height / 2) / self.unit)[None, None, None, :, None]
        self.width, self.height = width / self.unit, height / self.unit
        #: How much taller than a 16:9 picture; places stretch their ground by it.
        self.tall = self.height / 144
        #: How much narrower than a 16:9 picture; things and landmarks keep to it.
        self.narrow = min(1., self.width / 224)
        self.horizon = .04 * self.height
        self.frame = put(list(frames), device, dtype)[None, :, None, None, None]
        #: 0 at the first frame, 1 at the last.
        self.progress = self.frame / max(1, total - 1)
        self.jitter = [lift((j[i] for j in jitter), device, dtype) for i in range(len(jitter[0]))]
        self.image = torch.zeros(clips, count, 3, height, width, device=device, dtype=dtype)
        self.pan, self.tilt, self.zoom = (lift([v] * clips, device, dtype) for v in (0., 0., 1.))
        self.tint = self.colour(1, 1, 1)

    def colour(self, r, g, b):
        return constant((float(r), float(g), float(b)), self.device, self.dtype)[None, None, :, None, None]

    def at(self, depth):
        """Coordinates of a layer: x [B,T,1,1,W], y [B,T,1,H,1]. Depth 0 is the sky, 1 the foreground."""
        zoom = 1 + (self.zoom - 1) * (.25 + .75 * depth)
        return self.x0 / zoom + self.pan * depth, self.y0 / zoom + self.tilt * (.2 + .8 * depth)

    def cover(self, distance, soft=1.):
        """Share of each pixel inside a shape; `soft`: width of the border in pixels."""
        return torch.add(constant(.5, self.device, self.dtype), distance, alpha=self.unit / soft).clamp_(0, 1)

    def paint(self, distance, colour, opacity=1., soft=1., lit=True):
        """Colours (r, g, b) or tensors; `lit`: under the light of the scene."""
        self.mix(self.cover(distance, soft) * opacity, colour, lit)

    def mix(self, mask, colour, lit=True):
        colour = self.colour(*colour) if isinstance(colour, (tuple, list)) else colour
        if lit:
            colour = colour * self.tint
        if torch.is_tensor(mask):
            self.image.lerp_(colour, mask)
        else:
            self.image.lerp_(colour.expand_as(self.image), mask)

    def ramp(self, y, start, end, first, last):
        """A colour that goes from `first` at y = start to `last` at y = end."""
        first = self.colour(*first) if isinstance(first, tuple) else first
        last = self.colour(*last) if isinstance(last, tuple) else last
        return first + ((y - start) / (end - start)).clamp(0, 1) * (last - first)
