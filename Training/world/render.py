"""Rendering scenes: sky, land, shadow, thing, foreground, weather, light; batched over clips of one place or thing."""
from dataclasses import replace

import torch

from . import light as lights
from .draw import Canvas, put
from .motion import Pose, set_camera
from .places import PLACES, screen
from .things import draw_thing


class _View:
    """A canvas narrowed to some of its clips; painting writes into the whole canvas."""

    def __init__(self, canvas, rows):
        self.__dict__.update({k: v for k, v in canvas.__dict__.items()})
        index = put(rows, canvas.device, torch.long)
        cut = lambda v: v[index] if torch.is_tensor(v) and v.shape[0] == canvas.image.shape[0] and v.dim() == 5 else v
        for name in ('pan', 'tilt', 'zoom', 'tint', 'image', 'x0', 'y0'):
            setattr(self, name, cut(getattr(canvas, name)))
        self.jitter = [cut(v) for v in canvas.jitter]
        self._whole, self._index, self.cut = canvas, index, cut

    at, cover, paint, mix, ramp, colour = Canvas.at, Canvas.cover, Canvas.paint, Canvas.mix, Canvas.ramp, Canvas.colour

    def give_back(self):
        self._whole.image[self._index] = self.image


def _groups(scenes, name):
    out = {}
    for i, scene in enumerate(scenes):
        out.setdefault(getattr(scene, name), []).append(i)
    return out


class _PosePart:
    def __init__(self, pose, cut):
        self.__dict__.update({k: cut(v) for k, v in pose.__dict__.items()})

    local = Pose.local


@torch.no_grad()
def render(scenes, frames, total, height, width, device='cpu', dtype=torch.float32, chunk=16):
    """The clips of `scenes` at some frames (numbers at 16 a second, may be fractional) of films with `total` frames:
    [B,T,3,H,W] in 0..1."""
    out = []
    for start in range(0, len(scenes), chunk):
        out.append(_render(scenes[start:start + chunk], frames, total, height, width, device, dtype))
    return torch.cat(out) if len(out) > 1 else out[0]


def _render(scenes, frames, total, height, width, device, dtype):
    canvas = Canvas([s.jitter for s in scenes], frames, total, height, width, torch.device(device), dtype)
    return _draw(canvas, scenes)


def _draw(canvas, scenes):
    set_camera(canvas, [s.camera for s in scenes])
    light = lights.Light(canvas, scenes)
    canvas.tint = light.tint
    lights.sky(canvas, light, scenes)
    for place, rows in _groups(scenes, 'place').items():
        view = _View(canvas, rows)
        PLACES[place](view)
        view.give_back()
    lights.haze(canvas, light, scenes, .62)
    pose = Pose(canvas, scenes)
    ground = canvas.horizon + 50 * canvas.tall
    near = (1 - (ground - pose.y).abs() / 90).clamp(.25, 1)
    x, y = canvas.x0, canvas.y0
    canvas.paint((1 - torch.sqrt(((x - pose.x) / (27 * pose.size)) ** 2 + ((y - ground) / 5.5) ** 2 + 1e-6)) * 5.5, (.05, .06, .12), .30 * near, soft=4.)
    tint = light.on_thing()
    for _, rows in _groups(scenes, 'thing').items():
        view = _View(canvas, rows)
        draw_thing(view, [scenes[i] for i in rows], _PosePart(pose, view.cut), view.cut(tint))
        view.give_back()
    behind = [i for i, s in enumerate(scenes) if s.action == 'behind']
    for place, rows in _groups([scenes[i] for i in behind], 'place').items():
        view = _View(canvas, [behind[i] for i in rows])
        screen(view, place)
        view.give_back()
    lights.haze(canvas, light, scenes, .22)
    lights.lamp(canvas, light, scenes)
    lights.weather(canvas, light, scenes)
    return canvas.image.clamp_(0, 1)


@torch.no_grad()
def expected(scenes, frames, total, height, width, device='cpu'):
    """Where the words alone put the thing (no jitter): x, y [B,T] in pixels from the frame's middle, and its size."""
    plain = [replace(s, jitter=(0.,) * len(s.jitter)) for s in scenes]
    canvas = Canvas([s.jitter for s in plain], frames, total, height, width, torch.device(device), torch.float32)
    set_camera(canvas, [s.camera for s in plain])
    pose = Pose(canvas, plain)
    flat = lambda v: (v + 0 * canvas.frame + 0 * canvas.jitter[0])[:, :, 0, 0, 0]
    return flat(pose.x) * canvas.unit, flat(pose.y) * canvas.unit, flat(pose.size)


@torch.no_grad()
def render_windows(scenes, frames, total, height, width, reach, pixels, shift=None, device='cpu'):
    """Square windows that reach `reach` units to each side of the expected place of the thing, [B,T,3,pixels,pixels];
    `shift` [B,T,2]: units by which they are off."""
    device = torch.device(device)
    x, y, _ = expected(scenes, frames, total, height, width, device)
    canvas = Canvas([s.jitter for s in scenes], frames, total, height, width, device, torch.float32)
    grid = ((torch.arange(pixels, device=device) + .5) / pixels * 2 - 1) * reach
    shift = torch.zeros(*x.shape, 2, device=device) if shift is None else shift.to(device)
    canvas.x0 = (x / canvas.unit + shift[..., 0])[:, :, None, None, None] + grid
    canvas.y0 = (y / canvas.unit + shift[..., 1])[:, :, None, None, None] + grid[:, None]
    canvas.unit = pixels / (2 * reach)
    canvas.image = torch.zeros(*x.shape, 3, pixels, pixels, device=device)
    return _draw(canvas, scenes)


@torch.no_grad()
def thing_map(scenes, frames, total, height, width, cell=8, device='cpu'):
    """Where the thing is: 1 in cells of `cell` pixels that its disc covers, 0 elsewhere, soft between;
    [B,T,height/cell,width/cell]. For losses that look harder there."""
    canvas = Canvas([s.jitter for s in scenes], frames, total, height, width, torch.device(device), torch.float32)
    canvas.image = canvas.image[..., :1, :1]
    set_camera(canvas, [s.camera for s in scenes])
    pose = Pose(canvas, scenes)
    middle = lambda v: v[..., cell // 2::cell]
    x, y = middle(canvas.x0), middle(canvas.y0.transpose(3, 4)).transpose(3, 4)
    away = torch.sqrt((x - pose.x) ** 2 + (y - pose.y) ** 2) - 36 * pose.size
    return (.5 - away * canvas.unit / (2 * cell)).clamp(0, 1)[:, :, 0]
