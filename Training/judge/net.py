"""The attribute classifier: what a film shows, told from some of its frames. Trained on rendered clips only."""
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
import torch
from torch import nn
import torch.nn.functional as F

import world
from world.render import expected

#: Frames of a film that are looked at, evenly spaced, and the area they are scaled to.
FRAMES, AREA = 17, 128 * 72
#: Windows around the place where the words put the thing: units to each side, pixels, parts of the film.
REACH, PIXELS, MOMENTS = 56., 112, (.08, .2, .34, .5, .66, .8, .92)
#: Cells that a film's content may move from one frame that is looked at to the next, for matching.
SPAN = 3
SCENE = {'place': world.PLACES, 'thing': world.THINGS, 'colour': world.COLOURS, 'action': world.ACTIONS,
         'camera': world.CAMERAS, 'weather': world.WEATHERS, 'light': world.LIGHTS}
THING = {'thing': world.THINGS, 'colour': world.COLOURS}
STILL = {'still camera': world.STILL_CAMERAS, 'effect': world.EFFECTS}
FILM = {n: v for n, v in SCENE.items() if n not in THING} | STILL
HEADS = SCENE | STILL


def indices(total):
    """The frame numbers that are looked at."""
    return np.linspace(0, total - 1, FRAMES).round().astype(int)


def shrink(film):
    """[B,T,3,H,W] in 0..1 -> the same at AREA pixels."""
    b, t, c, h, w = film.shape
    k = (AREA / (h * w)) ** .5
    size = (max(4, round(h * k / 4) * 4), max(4, round(w * k / 4) * 4))
    if size == (h, w):
        return film
    return F.interpolate(film.flatten(0, 1), size, mode='area' if k < 1 else 'bilinear').reshape(b, t, c, *size)


class ThingJudge(nn.Module):
    """Kind and colour of the thing from windows of single frames; the windows of a film are averaged."""

    def __init__(self, widths=(32, 56, 80, 112)):
        super().__init__()
        layers, last = [], 3
        for width in widths:
            layers += [nn.Conv2d(last, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU(),
                       nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU()]
            last = width
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({n: nn.Linear(2 * last, len(v)) for n, v in THING.items()})

    def forward(self, windows):
        """[B,T,3,PIXELS,PIXELS] in 0..1 -> {head: mean of the windows' log probabilities}."""
        z = self.body(windows.flatten(0, 1) * 2 - 1)
        z = torch.cat((z.mean((2, 3)), z.amax((2, 3))), 1)
        return {n: head(z).float().log_softmax(-1).reshape(*windows.shape[:2], -1).mean(1) for n, head in self.heads.items()}


def windows(film, scene):
    """Windows of a film [T,H,W,3] uint8 around the places where a scene's words put its thing."""
    total, height, width = film.shape[:3]
    frames = [round(m * (total - 1)) for m in MOMENTS]
    x, y, _ = expected([scene], frames, total, height, width)
    reach = REACH * min(height, width) / 144
    line = ((torch.arange(PIXELS) + .5) / PIXELS * 2 - 1) * reach
    grids = torch.stack(((line[None, None, :] + x[0][:, None, None]).expand(-1, PIXELS, PIXELS) * 2 / width,
                         (line[None, :, None] + y[0][:, None, None]).expand(-1, PIXELS, PIXELS) * 2 / height), -1)
    seen = torch.from_numpy(film[frames].astype(np.float32)).permute(0, 3, 1, 2) / 255
    return F.grid_sample(seen, grids, padding_mode='border', align_corners=False)[None]


def matches(a, b, span=SPAN):
    """How well every cell of `a` [N,C,h,w] agrees with the cells of `b` up to `span` away: [N,(2 span + 1)^2,h,w]."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = F.normalize(a, dim=1), F.pad(F.normalize(b, dim=1), (span,) * 4)
        h, w = a.shape[2:]
        return torch.stack([(a * b[:, :, dy:dy + h, dx:dx + w]).sum(1) for dy in range(2 * span + 1) for dx in range(2 * span + 1)], 1)


class Judge(nn.Module):
    """Everything but the thing itself. Convolutions over a frame, its change to the next, and where its cells are found
    again in the next (which shows motion of the camera and of the thing); one vector a frame that keeps places apart,
    convolutions over time; the heads read means and maxima."""

    def __init__(self, first=24, widths=(56, 80, 80), inner=144):
        super().__init__()
        layer = lambda a, b, size, stride: [nn.Conv2d(a, b, size, stride, size // 2), nn.GroupNorm(8, b), nn.SiLU()]
        self.stem = nn.Sequential(*layer(3, first, 5, 2), *layer(first, first, 3, 1))
        self.key = nn.Conv2d(first, first // 2, 3, 1, 1)
        layers, last = [], 2 * first + (2 * SPAN + 1) ** 2
        for n, width in enumerate(widths):
            layers += layer(last, width, 3, 2 if n < 2 else 1)
            last = width
        self.frames = nn.Sequential(*layers)
        self.flat = nn.Sequential(nn.Linear(last * 24, inner), nn.LayerNorm(inner), nn.SiLU())
        self.time = nn.ModuleList([nn.Conv1d(inner + (n == 0), inner, 3, padding=1) for n in range(3)])
        self.norms = nn.ModuleList([nn.GroupNorm(8, inner) for _ in self.time])
        self.heads = nn.ModuleDict({n.replace(' ', '_'): nn.Linear(5 * inner + 2 * last, len(v)) for n, v in FILM.items()})

    def forward(self, film):
        """[B,FRAMES,3,h,w] in 0..1 -> {head: logits}."""
        b, t = film.shape[:2]
        z = self.stem((film * 2 - 1).flatten(0, 1))
        key = self.key(z).unflatten(0, (b, t))
        after = lambda v: torch.cat((v[:, 1:], v[:, -1:]), 1).flatten(0, 1)
        z = torch.cat((z, after(z.unflatten(0, (b, t))) - z, 2 * matches(key.flatten(0, 1), after(key)).to(z.dtype)), 1)
        z = self.frames(z)
        # 4 x 6 places, or 6 x 4 of an upright film turned the same way round: the larger side has six.
        upright = z.shape[2] > z.shape[3]
        grid = F.adaptive_avg_pool2d(z, (6, 4) if upright else (4, 6))
        v = self.flat(grid.flatten(1)).reshape(b, t, -1).transpose(1, 2)
        clock = torch.linspace(-1, 1, t, device=film.device, dtype=v.dtype).expand(b, 1, t)
        for n, (conv, norm) in enumerate(zip(self.time, self.norms)):
            out = F.silu(norm(conv(torch.cat((v, clock), 1) if n == 0 else v)))
            v = v + out
        thirds = [part.mean(2) for part in v.tensor_split(3, 2)]
        whole = z.reshape(b, t, *z.shape[1:])
        pooled = torch.cat(thirds + [v.mean(2), v.amax(2), whole.mean((1, 3, 4)), whole.amax((1, 3, 4))], 1)
        return {n: self.heads[n.replace(' ', '_')](pooled).float() for n in FILM}


def save(model, path, notes):
    tensors = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, str(path), {k: str(v) for k, v in notes.items()})


def load(folder, device='cpu'):
    """{'film': Judge, 'thing': ThingJudge} from film.safetensors and thing.safetensors, and the notes of their training."""
    models, notes = {'film': Judge(), 'thing': ThingJudge()}, {}
    for name, model in models.items():
        with safe_open(str(Path(folder) / f'{name}.safetensors'), 'pt') as f:
            model.load_state_dict({k: f.get_tensor(k).float() for k in f.keys()})
            notes[name] = dict(f.metadata() or {})
        model.to(device).eval()
    return models, notes


@torch.no_grad()
def tell(models, film, scene=None):
    """What the classifiers say of a film [T,H,W,3] uint8: {head: name}. Of the thing only when a scene says where to look."""
    device = next(models['film'].parameters()).device
    picked = torch.from_numpy(film[indices(len(film))]).permute(0, 3, 1, 2)[None].to(device).float() / 255
    logits = models['film'](shrink(picked))
    if scene is not None:
        logits |= models['thing'](windows(film, scene).to(device))
    return {head: HEADS[head][int(values[0].argmax())] for head, values in logits.items()}
