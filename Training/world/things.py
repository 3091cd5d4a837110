"""The things that act, drawn around the origin, about 60 units wide, facing right."""
import torch

from .draw import box, common, disc, joined, oval, put, tip, turn

COLOURS = {'red': (.88, .12, .13), 'orange': (1., .52, .06), 'yellow': (1., .87, .12), 'green': (.10, .62, .22),
           'turquoise': (.12, .80, .76), 'blue': (.10, .28, .90), 'purple': (.52, .16, .74), 'pink': (1., .50, .74),
           'white': (.98, .98, .98), 'black': (.10, .10, .12)}

WOOD, CREAM, GLASS, TYRE, SKIN = (.45, .29, .16), (.99, .96, .88), (.78, .92, .98), (.16, .15, .19), (.96, .76, .60)


class Brush:
    """Collects the parts of one thing: first its outline, then colours. Colours of the thing: main, dark, light."""

    def __init__(self, canvas, colours, pose):
        rows = [COLOURS[c] for c in colours]
        lay = lambda values: put(values, canvas.device, canvas.dtype)[:, None, :, None, None]
        self.main = lay(rows)
        self.dark = lay([[v * .62 + (.192 if c == 'black' else 0.) for v in row] for c, row in zip(colours, rows)])
        self.light = lay([[v + .42 * (1 - v) for v in row] for row in rows])
        self.rim = lay([(.80, .82, .86) if c == 'black' else (.13, .11, .19) for c in colours])
        self.canvas, self.pose = canvas, pose
        self.parts = []

    def add(self, distance, colour, rim=True):
        self.parts.append((distance, colour, rim))

    def finish(self, tint):
        """Paints everything; `tint`: the light that falls on the thing."""
        canvas, size = self.canvas, self.pose.size
        rimmed = [d for d, _, rim in self.parts if rim]
        outline = rimmed[0]
        for d in rimmed[1:]:
            outline = torch.maximum(outline, d)
        kept, canvas.tint = canvas.tint, tint
        canvas.paint(outline * size + 2.2, self.rim)
        for distance, colour, _ in self.parts:
            canvas.paint(distance * size, colour)
        canvas.tint = kept


def ball(b, x, y, t):
    r = 25.
    body = disc(x, y, 0, 0, r)
    b.add(body, b.main)
    u, v = turn(x, y, b.pose.rolled)
    b.add(common(body, 5.5 - (v - .010 * u * u).abs()), b.light, False)
    b.add(common(body, oval(u, v, 0, -19, 13, 7)), b.dark, False)
    b.add(common(body, oval(u, v, 0, 20, 13, 6)), b.dark, False)
    b.add(disc(x, y, -9, -11, 4.5), (1, 1, 1), False)


def balloon(b, x, y, t):
    body = joined(disc(x, y, 0, -10, 26), common(24.5 - .80 * (y + 4) - x.abs(), y + 8, 20 - y))
    b.add(common(1.3 - (x.abs() - 9 + .25 * (y - 16)).abs(), y - 10, 30 - y), WOOD, False)
    b.add(box(x, y, 0, 31, 8, 6, 2), WOOD)
    b.add(body, b.main)
    b.add(common(body, 6 - x.abs()), b.light, False)
    b.add(common(body, 3.5 - (x.abs() - 17.5 + .004 * (y + 10) ** 2).abs()), b.dark, False)


def boat(b, x, y, t):
    hull = common(y - 8, 27 - y, (36 - .9 * (y - 8) - x.abs()) * .75)
    b.add(box(x, y, 0, -10, 1.8, 24), WOOD)
    b.add(common(x - 2.5, 5 - y, (y + 33 - 1.35 * (x - 2.5)) * .6), b.light)
    b.add(common(-x - 2.5, 5 - y, (y + 24 - 1.15 * (-x - 2.5)) * .65), CREAM)
    b.add(hull, b.main)
    b.add(common(hull, y - 19), b.dark, False)
    for i in range(3):
        b.add(disc(x, y, -14 + 14 * i, 14, 2.8), CREAM, False)


def car(b, x, y, t):
    cabin = common(y + 21, 2 - y, 17 + .5 * y * .8 + 4 - (x + 3).abs())
    body = joined(box(x, y, 0, 6, 36, 9.5, 5), cabin)
    b.add(body, b.main)
    b.add(common(cabin - 4.5, (x + 3).abs() - 2), GLASS, False)
    b.add(common(body, 2.2 - (y - 10).abs()), b.dark, False)
    b.add(disc(x, y, 33, 4, 3.4), (1., .93, .55), False)
    for side in (-19, 20):
        b.add(disc(x, y, side, 16, 9), TYRE)
        b.add(disc(x, y, side, 16, 4), (.82, .82, .85), False)


def kite(b, x, y, t):
    wave = torch.sin(.18 * (y - 24) - t * .35) * 4 * ((y - 18) / 14).clamp(0, 1)
    tail_x = x + .30 * (y - 22) + wave
    b.add(common(1.3 - tail_x.abs(), y - 18, 52 - y), WOOD, False)
    for i in range(3):
        b.add(common((6 - tail_x.abs()), 4.2 - (y - 29 - 10 * i).abs(), (tail_x.abs() * .7 + .8 - (y - 29 - 10 * i).abs())), b.light)
    upper, lower = y < -6, y >= -6
    width = torch.where(upper, 24 * (y + 36) / 30, 24 * (24 - y) / 30)
    body = (width - x.abs()) * .76
    b.add(body, b.main)
    b.add(common(body, torch.where((x > 0) ^ upper, body, -torch.ones_like(body))), b.light, False)
    b.add(common(body, joined(1.3 - x.abs(), 1.3 - (y + 6).abs())), b.dark, False)


def bird(b, x, y, t):
    flap = torch.sin(t * .62)
    body = oval(x, y, 0, 4, 24, 14)
    b.add(common((-x - 16) * 1., 10 - (y - 2 + .35 * (x + 20)).abs() + .25 * (x + 18), x + 38), b.dark)
    b.add(tip(*turn(x - 36, y + 3, torch.full_like(x[..., :1, :1], 1.5708)), 0, -9, 4, 6), (1., .62, .12))
    b.add(body, b.main)
    b.add(disc(x, y, 20, -4, 13), b.main)
    b.add(oval(x, y, 4, 10, 15, 6), b.light, False)
    u, v = turn(x + 4, y + 2, flap * .35 + .25)
    reach = 24 * flap
    wing = common((15 - u.abs() * 1.1) * .8, torch.where(reach > 0, common(v + 4, reach.clamp(min=5) + 6 - v - .5 * u.abs()), common(4 - v, (-reach).clamp(min=5) + 6 + v - .5 * u.abs())))
    b.add(wing, b.dark)
    b.add(disc(x, y, 23, -7, 4), (1, 1, 1), False)
    b.add(disc(x, y, 24, -7, 2.1), TYRE, False)


def fish(b, x, y, t):
    wag = torch.sin(t * .5) * .25
    u, v = turn(x + 22, y, wag)
    b.add(common(-u + 1, u + 17, (1.1 * -u + 3 - v.abs()) * .7, ((u + 17) * .9 + 12 - 0 * v)), b.dark)
    b.add(common(y + 26, -4 - y, (16 - (x + 4).abs() + .4 * y)), b.dark)
    body = oval(x, y, 4, 0, 30, 18)
    b.add(body, b.main)
    b.add(common(body, oval(x, y, 4, 12, 24, 9)), b.light, False)
    b.add(common(body, 2.6 - (x - 12 + .02 * y * y).abs()), b.dark, False)
    b.add(common(body, 2.6 - (x + 6 + .02 * y * y).abs()), b.dark, False)
    b.add(disc(x, y, 22, -4, 5), (1, 1, 1), False)
    b.add(disc(x, y, 23, -4, 2.6), TYRE, False)


def train(b, x, y, t):
    for i in range(3):
        age = (t * .025 + i / 3) % 1
        b.add(disc(x, y, 22 - 34 * age, -24 - 16 * age, 4 + 7 * age), (.96, .96, .98), False)
    chimney = common(y + 22, -4 - y, 4 + .15 * (-y - 4) - (x - 22).abs())
    b.add(chimney, b.dark)
    b.add(box(x, y, 14, 3, 22, 10, 6), b.main)
    cab = box(x, y, -20, -4, 15, 18, 2)
    b.add(cab, b.main)
    b.add(box(x, y, -20, -23, 18, 3.2, 1.5), b.dark)
    b.add(box(x, y, -20, -10, 9, 7, 2), GLASS, False)
    b.add(common(box(x, y, 14, 3, 22, 10, 6), 2.4 - (x - 6).abs()), b.light, False)
    b.add(disc(x, y, 34, 0, 3.4), (1., .93, .55), False)
    b.add(box(x, y, 0, 15, 38, 3.2, 1.5), b.dark)
    for cx, r in ((-24, 9), (-3, 9), (15, 7), (31, 7)):
        b.add(disc(x, y, cx, 26 - r, r), TYRE)
        b.add(disc(x, y, cx, 26 - r, r * .45), b.light, False)


def person(b, x, y, t):
    step = torch.sin(t * .45)
    for side in (1, -1):
        u, v = turn(x, y - 12, step * side * .45)
        b.add(box(u, v, 0, 12, 4.2, 12, 3), (.20, .22, .34))
    coat = common(y + 12, 18 - y, 9 + .28 * (y + 12) - x.abs())
    u, v = turn(x + 2, y + 6, -step * .5)
    b.add(coat, b.main)
    b.add(disc(x, y, 0, -22, 11.5), SKIN)
    b.add(box(u, v, 0, 10, 3.8, 11, 3), b.dark)
    hat = joined(common(disc(x, y, 0, -25, 12.5), -25 - y), box(x, y, 2, -26, 16, 2.6, 2))
    b.add(hat, b.main)
    b.add(disc(x, y, 6, -20, 1.8), TYRE, False)
    b.add(common(2.4 - (y - 12).abs(), coat), b.dark, False)


def dog(b, x, y, t):
    step, wag = torch.sin(t * .6), torch.sin(t * .9)
    u, v = turn(x + 24, y - 0, wag * .35 - .5)
    b.add(box(u, v, 0, -10, 3, 11, 3), b.dark)
    for cx, side in ((-18, 1), (-9, -1), (10, -1), (18, 1)):
        u, v = turn(x - cx, y - 10, step * side * .4)
        b.add(box(u, v, 0, 8, 4, 10, 3), b.main if side > 0 else b.dark)
    b.add(box(x, y, 0, 6, 27, 12, 11), b.main)
    b.add(disc(x, y, 25, -10, 14.5), b.main)
    b.add(box(x, y, 37, -6, 9, 6.5, 6), b.light)
    b.add(disc(x, y, 45, -9, 3.2), TYRE, False)
    b.add(oval(x, y, 17, -9, 6, 13), b.dark)
    b.add(disc(x, y, 29, -14, 2.4), TYRE, False)
    b.add(common(box(x, y, 12, 2, 4, 13, 1), box(x, y, 0, 6, 27, 12, 11)), (1., .86, .3), False)


DRAW = {'boat': boat, 'balloon': balloon, 'ball': ball, 'car': car, 'kite': kite, 'bird': bird, 'fish': fish,
        'train': train, 'person': person, 'dog': dog}


def draw_thing(canvas, scenes, pose, tint):
    """All scenes of one kind of thing."""
    x, y = pose.local(canvas)
    brush = Brush(canvas, [s.colour for s in scenes], pose)
    DRAW[scenes[0].thing](brush, x, y, canvas.frame + 6 * canvas.jitter[5])
    brush.finish(tint)
