"""Where the thing and the camera are: every action and camera move as a function of the film's progress."""
import math

import torch

from .draw import lift

#: Things that belong to the ground, to the air, or anywhere; their resting height in units.
REST = {'boat': 14., 'car': 24., 'train': 20., 'person': 16., 'dog': 22., 'ball': 12., 'fish': 4., 'balloon': -6.,
        'kite': -8., 'bird': -8.}

PAN, TILT, ZOOM = 44., 26., 1.42


def set_camera(canvas, cameras):
    """Camera of every clip. A pan moves through the same stretch either way, so its middle is the static view."""
    device, dtype, s = canvas.device, canvas.dtype, canvas.progress * 2 - 1
    sign = lambda plus, minus: lift(((c == plus) - (c == minus) for c in cameras), device, dtype)
    canvas.pan = sign('pan right', 'pan left') * PAN * s
    canvas.tilt = sign('tilt down', 'tilt up') * TILT * s
    push = sign('push in', 'pull out')
    towards = canvas.progress * (push > 0) + (1 - canvas.progress) * (push < 0)
    canvas.zoom = torch.exp(math.log(ZOOM) * towards) + 0 * push


class Pose:
    """Place, size, turn and facing of the thing, each [B,T,1,1,1]."""

    def __init__(self, canvas, scenes):
        device, dtype, p, j = canvas.device, canvas.dtype, canvas.progress, canvas.jitter
        is_ = lambda *names: lift((float(s.action in names) for s in scenes), device, dtype)
        s = 2 * p - 1
        rest = lift((REST[scene.thing] for scene in scenes), device, dtype) * canvas.tall
        small = canvas.narrow ** .8
        across, upright = canvas.width / 2 - 45 * small, canvas.height / 2 - 38 * small
        reach_x, reach_y = max(26., across), max(30., upright)
        facing = 1 - 2 * is_('left')
        moves = is_('right', 'behind') - is_('left')
        climbs = is_('down') - is_('up')
        circle, bounce = is_('circle'), is_('bounce')
        free = 1 - is_('right', 'left', 'behind')
        x = moves * reach_x * s + free * j[0] * min(22., across)
        y = rest * (1 - is_('up', 'down', 'circle', 'bounce')) + j[1] * 6 + climbs * reach_y * s
        angle = 2 * math.pi * p - math.pi / 2 + .5 * j[2]
        x = x + circle * torch.cos(angle) * min(62., across)
        y = y + circle * torch.sin(angle) * min(34., upright)
        hop = (torch.sin(3 * math.pi * p + 1e-4)).abs()
        y = y + bounce * (26 * min(canvas.tall, 1.3) - hop * 54 * min(canvas.tall, 1.3))
        squash = bounce * (.16 * (1 - hop / .35).clamp(min=0))
        moving = is_('right', 'left', 'behind', 'up', 'down')
        bob = torch.sin(canvas.frame * .33 + 3 * j[3])
        y = y + moving * bob * 1.6
        size = small * (1 + .08 * j[4]) * torch.exp(is_('grow') * (math.log(.5) + p * math.log(2.9)))
        self.size = size * (1 + .5 * (canvas.zoom - 1))
        self.turn = is_('spin') * 2 * math.pi * 1.25 * p + moving * .04 * bob
        self.x, self.y, self.squash, self.facing = x, y, squash, facing
        self.rolled = moves * reach_x * s / 24

    def local(self, canvas):
        """Coordinates with the thing at the origin, unturned, facing right."""
        x, y = (canvas.x0 - self.x) / self.size, (canvas.y0 - self.y) / self.size
        c, s = torch.cos(self.turn), torch.sin(self.turn)
        x, y = c * x + s * y, c * y - s * x
        return x * self.facing / (1 + self.squash), (y - 22 * self.squash) * (1 + self.squash)
