"""Pictures that move: camera moves, ripples, weather and light over any picture."""
import math

import torch
import torch.nn.functional as F

from . import light
from .draw import Canvas, lift
from .pictures import MARGIN
from .scene import Still

#: How far a camera goes over the whole film: parts of the frame's width or height, and a factor.
PAN, TILT, ZOOM, ORBIT = .15, .15, 1.24, .16


def _positions(canvas, stills):
    """Where in the picture (from -1 to 1 of the frame) every pixel of every frame is taken from: x, y [B,T,H,W]."""
    device, dtype = canvas.device, canvas.dtype
    p = canvas.progress
    is_ = lambda name: lift((float(s.camera == name) for s in stills), device, dtype)
    shape = canvas.image.shape
    x = (canvas.x0 * 2 / canvas.width).expand(1, 1, 1, shape[3], shape[4])
    y = (canvas.y0 * 2 / canvas.height).expand(1, 1, 1, shape[3], shape[4])
    zoom = torch.exp(-math.log(ZOOM) * p * (is_('push in') - is_('pull out')))
    px = x * zoom + 2 * PAN * p * (is_('pan right') - is_('pan left'))
    py = y * zoom + 2 * TILT * p * (is_('tilt down') - is_('tilt up'))
    # An orbit turns about the middle: what is near (below) goes one way, what is far (above) the other.
    side = is_('orbit right') - is_('orbit left')
    px = px + 2 * ORBIT * p * side * y * .8
    py = py + 2 * .03 * p * side * x
    ripple = lift((float(s.effect == 'ripple') for s in stills), device, dtype) * (canvas.frame / 10).clamp(0, 1)
    wave = torch.sin(canvas.y0 / 6.5 - canvas.frame * .30) * (.6 + .4 * torch.sin(canvas.x0 / 23))
    px = px + ripple * wave * 2 * 2.6 / canvas.width
    py = py + ripple * torch.cos(canvas.x0 / 9 - canvas.frame * .22) * 2 * 1.3 / canvas.height
    return px[:, :, 0] + 0 * y[:, :, 0], py[:, :, 0] + 0 * x[:, :, 0]


def positions_of(camera, amount, height, width):
    """The same for one camera at a part of its move: x, y [H,W]."""
    canvas = Canvas([(0.,) * 12], [amount], 2, height, width, torch.device('cpu'), torch.float32)
    x, y = _positions(canvas, [Still(camera)])
    return x[0, 0].expand(height, width), y[0, 0].expand(height, width)


@torch.no_grad()
def render_stills(stills, pictures, frames, total, height, width, device='cpu', dtype=torch.float32, chunk=16):
    """`pictures` [B,3,h,w] in 0..1, MARGIN larger than the frame (pictures.canvas_size); frame 0 is the plain middle of
    the picture. Returns [B,T,3,H,W] in 0..1."""
    out = [_render(stills[i:i + chunk], pictures[i:i + chunk], frames, total, height, width, torch.device(device), dtype)
           for i in range(0, len(stills), chunk)]
    return torch.cat(out) if len(out) > 1 else out[0]


def first_frames(pictures, height, width):
    """The photographs as given to the model: frame 0 of every film made of `pictures`, [B,3,H,W]."""
    return _sample(pictures, *_grid(height, width, pictures.device, pictures.dtype))


def _grid(height, width, device, dtype):
    make = lambda n: (torch.arange(n, device=device, dtype=dtype) * 2 + 1) / n - 1
    return make(width)[None, :].expand(height, width), make(height)[:, None].expand(height, width)


def _sample(pictures, x, y):
    x, y = x.expand(len(pictures), *x.shape[-2:]), y.expand(len(pictures), *y.shape[-2:])
    return F.grid_sample(pictures, torch.stack((x, y), -1) / MARGIN, mode='bicubic', padding_mode='reflection', align_corners=False).clamp(0, 1)


def _render(stills, pictures, frames, total, height, width, device, dtype):
    canvas = Canvas([s.jitter for s in stills], frames, total, height, width, device, dtype)
    count = len(frames)
    x, y = _positions(canvas, stills)
    shape = (len(stills), count, height, width)
    x, y = x.expand(shape).reshape(-1, height, width), y.expand(shape).reshape(-1, height, width)
    pictures = pictures.to(device=device, dtype=dtype)
    seen = _sample(pictures.repeat_interleave(count, 0), x, y)
    canvas.image = seen.reshape(len(stills), count, 3, height, width).clone()
    begun = (canvas.frame / 12).clamp(0, 1)
    on = {name: lift((float(s.effect == name) for s in stills), device, dtype) for name in {s.effect for s in stills}}
    p = canvas.progress
    if 'darken' in on:
        canvas.image *= 1 - on['darken'] * p * canvas.colour(.84, .80, .62)
    if 'sunset' in on:
        k = on['sunset'] * p
        canvas.image *= 1 - k * canvas.colour(.02, .34, .62)
        canvas.image += k * canvas.colour(.10, .05, .0) * (1 - canvas.image)
    if 'lightning' in on:
        j = canvas.jitter
        dim = on['lightning'] * begun * .42
        canvas.image *= 1 - dim * canvas.colour(1., .95, .80)
        flash = 0.
        for at in (.28 + .04 * j[6], .66 + .05 * j[7]):
            since = (p - at) / .13
            flash = flash + torch.where((since >= 0) & (since < 1), 1 - since, torch.zeros_like(since))
        canvas.mix(flash * on['lightning'] * .62, (1., 1., 1.), False)
    if 'fog' in on:
        drift = torch.sin(canvas.x0 / 38 + canvas.frame * .045) * torch.sin(canvas.y0 / 17 + .6 * torch.sin(canvas.x0 / 50 - canvas.frame * .03))
        canvas.mix(on['fog'] * (canvas.frame / 40).clamp(0, 1) * (.62 + .14 * drift), (.90, .91, .93), False)
    if 'rain' in on:
        canvas.image *= 1 - on['rain'] * begun * canvas.colour(.30, .24, .16)
        light.rain(canvas, on['rain'] * begun)
    if 'snow' in on:
        light.snowfall(canvas, on['snow'] * begun)
    if 'leaves' in on:
        light.leaves(canvas, on['leaves'] * begun)
    return canvas.image.clamp_(0, 1)
