"""The places: layers of land at different depths, each drawn by functions of the camera's coordinates."""
import torch

from .draw import box, common, constant, disc, joined, oval, scatter


def _cells(x, period, seed):
    """Which repeated object a column belongs to, and the coordinate from its middle."""
    i = torch.floor(x / period)
    return i, x - (i + .5) * period, scatter(i, i * 0 + 2, seed)


def conifers(c, x, y, ground, period, size, colour, seed, snow=False, density=.8):
    i, u, r = _cells(x, period, seed)
    here = (scatter(i, i * 0 + 7, seed) < density).to(c.dtype) * 400 - 400
    h = size * (.75 + .5 * r)
    u = u - (r - .5) * period * .2
    c.paint(common(2.2 - u.abs(), ground + 3 - y, y - ground + 10) + here, (.34, .22, .14))
    for n in range(3):
        low = ground - 4 - h * .24 * n
        tier = _tier(u, y, low - h * .42, low, h * (.30 - .06 * n))
        c.paint(tier + here, colour if n % 2 == 0 else tuple(v * 1.12 for v in colour))
        if snow:
            c.paint(common(tier, low - h * .22 - y + 0 * u) + here, (.97, .98, 1.))


def _tier(x, y, top, bottom, half_width):
    """A triangle whose measures are tensors."""
    return torch.minimum(bottom - y, ((y - top) * half_width / (bottom - top) - x.abs()) * .8)


def round_trees(c, x, y, ground, period, size, colour, seed, density=.7):
    i, u, r = _cells(x, period, seed)
    here = (scatter(i, i * 0 + 7, seed) < density).to(c.dtype) * 400 - 400
    s = size * (.8 + .4 * r)
    u = u - (r - .5) * period * .3
    c.paint(common(.11 * s - u.abs(), ground + 3 - y, y - ground + .75 * s) + here, (.42, .27, .15))
    v = y - ground
    crown = joined(.42 * s - torch.sqrt(u ** 2 + (v + .95 * s) ** 2), .30 * s - torch.sqrt((u - .28 * s) ** 2 + (v + .75 * s) ** 2),
                   .30 * s - torch.sqrt((u + .28 * s) ** 2 + (v + .75 * s) ** 2))
    c.paint(crown + here, colour)
    c.paint(common(crown, .26 * s - torch.sqrt((u + .10 * s) ** 2 + (v + 1.05 * s) ** 2)) + here, tuple(min(1, q * 1.22) for q in colour))


def wave_rows(c, rows, base, step, body, crest):
    """Scalloped rows of water that go to and fro."""
    for n in range(rows):
        depth = .35 + .75 * n / max(1, rows - 1)
        x, y = c.at(depth)
        line = base + step * n * (1 + .25 * n) + 2. * torch.sin(c.frame * .11 + 1.7 * n)
        swing = 5 * torch.sin(c.frame * .075 + 2.1 * n) + 7 * n
        period = 24. + 8 * n
        k = (x + swing) / period
        bow = (k - torch.floor(k) - .5).abs() * 2
        top = line + (2.2 + .7 * n) * (1 - bow * bow) - 2
        tone = tuple(b * (1 - .13 * n) for b in body)
        c.paint(y - top, tone)
        c.paint(1.6 + .25 * n - (y - top - 2.2).abs(), crest, .75)


def sea(c):
    x, y = c.at(.22)
    h = c.horizon
    j = c.jitter[11]
    c.paint(y - h, c.ramp(y, h, h + 60 * c.tall, (.30, .66, .86), (.05, .30, .60)))
    x, y = c.at(.3)
    isle = oval(x, y, (-70 + 14 * j) * c.narrow, h + 2, 42., 13.)
    c.paint(common(isle, h + 1 - y), (.36, .58, .40))
    tower = common(y - h + 34, h - 8 - y, 4 + .06 * (y - h + 34) - (x + (74 - 14 * j) * c.narrow).abs())
    c.paint(tower, (.98, .96, .94))
    c.paint(common(tower, 4 - (y - h + 22).abs()), (.86, .20, .20))
    c.paint(box(x, y, (-74 + 14 * j) * c.narrow, h - 36, 5.5, 4., 1.5), (.30, .30, .38))
    wave_rows(c, 4, h + 12 * c.tall, 14 * c.tall, (.20, .56, .82), (.80, .94, .98))


def beach(c):
    h, j = c.horizon, c.jitter[11]
    x, y = c.at(.25)
    c.paint(y - h, c.ramp(y, h, h + 26 * c.tall, (.10, .56, .74), (.42, .86, .84)))
    x, y = c.at(.4)
    c.paint(1.3 - (y - h - 8 * c.tall - 1.5 * torch.sin(x / 12 + c.frame * .08)).abs(), (.85, .97, .97), .7)
    x, y = c.at(.75)
    shore = h + 24 * c.tall + 5 * torch.sin(x / 46 + 1 + j) + 2.2 * torch.sin(c.frame * .08)
    c.paint(y - shore + 3, (.97, .99, 1.))
    c.paint(y - shore - 1.5, c.ramp(y, h + 20 * c.tall, h + 70 * c.tall, (.98, .86, .60), (.90, .72, .44)))
    x, y = c.at(.85)
    px, py = (-96. + 8 * j) * c.narrow, h + 42 * c.tall
    u, v = x - px, y - py
    trunk = common(4 + .05 * v - (u - .0035 * (v + 0) ** 2).abs(), -v, v + 74)
    c.paint(trunk, (.58, .40, .22))
    tx, ty = u - .0035 * 74 ** 2, v + 74
    sway = 2 * torch.sin(c.frame * .07)
    for k, (lx, ly) in enumerate(((30, 10), (-30, 10), (23, -10), (-23, -10), (3, 17))):
        leaf = common(disc(tx - sway * .4, ty, lx * .5 + ly * .55, ly * .5 + 8, 21.), disc(tx - sway * .4, ty, lx * .62 - ly * .30, ly * .5 - 11, 21.))
        c.paint(leaf, (.16, .58, .26) if k % 2 else (.22, .68, .30))
    px, py = (62 + 10 * j) * c.narrow, h + 46 * c.tall
    u, v = x - px, y - py
    c.paint(common(1.4 - u.abs(), v + 26, 8 - v), (.95, .93, .88))
    shade = common(disc(u, v, 0, -12, 24.), -17 - v)
    c.paint(shade, (.95, .30, .32))
    c.paint(common(shade, 6 - (u.abs() - 12).abs()), (.99, .97, .92))


def _hill(c, depth, base, height, wave, phase, top, low):
    x, y = c.at(depth)
    line = base - height * torch.sin(x / wave + phase) - .35 * height * torch.sin(x / (wave * .43) + 2 * phase)
    c.paint(y - line, c.ramp(y, base - height, base + 46 * c.tall, top, low))
    return x, y, line


def meadow(c):
    h, j, t = c.horizon, c.jitter[11], c.tall
    _hill(c, .3, h + 2, 9, 46., .6 + j, (.58, .80, .52), (.44, .70, .42))
    x, y, line = _hill(c, .55, h + 18 * t, 8, 60., 2.4 + j, (.48, .78, .34), (.34, .64, .26))
    u, v = x + (64 - 10 * j) * c.narrow, y - (h + 16 * t)
    c.paint(box(u, v, 0, -8, 15., 11.), (.98, .93, .82))
    c.paint(_tier(u, v, -36., -16., 23.), (.82, .30, .22))
    c.paint(box(u, v, -5, -6, 3.6, 4., .5), (.42, .62, .80))
    c.paint(box(u, v, 7, -3, 3.4, 6.), (.45, .28, .18))
    round_trees(c, x - 40, y, h + 20 * t, 118., 30., (.20, .56, .24), .3 + 0 * j, .9)
    x, y, line = _hill(c, 1., h + 42 * t, 6, 78., 1. + j, (.42, .74, .24), (.20, .52, .14))
    i, u, r = _cells(x, 21., 2.)
    v = y - (h + 52 * t + 22 * t * r)
    flower = 3.1 - torch.sqrt((u - 5 * (r - .5)) ** 2 + v ** 2)
    pink = (scatter(i, i * 0 + 1, .7) > .5).to(c.dtype)
    c.paint(flower, c.colour(1., .96, .50) * (1 - pink) + c.colour(1., .62, .78) * pink)


def forest(c):
    h, j, t = c.horizon, c.jitter[11], c.tall
    x, y = c.at(.25)
    conifers(c, x + 20 * j, y, h + 8, 25., 52., (.44, .66, .56), .2, density=1.)
    c.paint(y - h - 7, (.44, .64, .50))
    x, y = c.at(.5)
    conifers(c, x + 11 + 20 * j, y, h + 20 * t, 37., 66., (.20, .50, .36), .5, density=.9)
    c.paint(y - h - 18 * t, c.ramp(y, h + 18 * t, h + 40 * t, (.28, .54, .30), (.22, .46, .24)))
    x, y = c.at(.95)
    c.paint(y - h - 36 * t - 3 * torch.sin(x / 30), c.ramp(y, h + 36 * t, h + 70 * t, (.30, .50, .20), (.16, .34, .14)))
    path = common(16 + .5 * (y - h - 30 * t) - (x - 8 * torch.sin(y / 14)).abs(), y - h - 37 * t)
    c.paint(path, (.70, .56, .36), .9, soft=2.)
    for side in (-1, 1):
        cx = side * (c.width * .5 - 12)
        trunk = common(9 + .10 * (y - h).clamp(min=0) - (x - cx - 3 * torch.sin(y / 25)).abs(), h + 58 * t - y)
        c.paint(trunk, (.36, .24, .17))
        c.paint(common(trunk, 2.2 - (x - cx + 3 * side).abs()), (.47, .33, .22))
    i, u, r = _cells(x + 14, 62., 3.)
    v = y - (h + 56 * t + 8 * r)
    c.paint(common(2.4 - u.abs(), v + 2, 8 - v), (.97, .94, .86))
    c.paint(common(7.5 - torch.sqrt(u ** 2 + v ** 2), 1 - v), (.90, .22, .20))


def mountains(c):
    h, j, t = c.horizon, c.jitter[11], c.tall
    for depth, peaks, tone in ((.2, ((-92, 40, 1.1), (-18, 62, 1.), (66, 52, 1.05), (140, 44, 1.)), (.56, .60, .78)),
                               (.38, ((-128, 34, 1.), (-58, 44, .95), (30, 36, 1.1), (104, 50, .9)), (.38, .44, .64))):
        x, y = c.at(depth)
        shape = None
        cap = None
        for cx, top, slope in peaks:
            d = (y - (h + 8 - top)) - slope * (x - cx - 10 * j).abs()
            shape = d if shape is None else torch.maximum(shape, d)
            white = common(d, (h + 8 - top) + 15 + 3 * torch.sin(x / 2.8) - y)
            cap = white if cap is None else torch.maximum(cap, white)
        c.paint(shape * .7, tone)
        c.paint(cap * .7, (.98, .98, 1.))
    x, y = c.at(.5)
    conifers(c, x, y, h + 13, 23., 20., (.18, .40, .34), .4, density=.85)
    c.paint(y - h - 11, c.ramp(y, h + 11, h + 50 * t, (.50, .76, .86), (.20, .46, .68)))
    for n in range(4):
        x, y = c.at(.55 + .1 * n)
        gap = (x / (40 + 9 * n) + 1.3 * n + .2 * torch.sin(c.frame * .05 + n)) % 1.
        c.paint(common(1.3 - (y - h - (18 + 9 * n) * t).abs(), (.28 - (gap - .5).abs()) * 40), (.82, .94, .97), .8)
    x, y = c.at(1.)
    bank = h + 58 * t + 5 * torch.sin(x / 32 + j)
    c.paint(y - bank, c.ramp(y, h + 52 * t, h + 72 * t, (.42, .62, .30), (.26, .44, .20)))
    i, u, r = _cells(x, 47., 1.)
    c.paint(oval(u, y - bank, 0, 2, 9., 6.), (.62, .62, .66))


def desert(c):
    h, j, t = c.horizon, c.jitter[11], c.tall
    x, y = c.at(.25)
    for cx, s in ((-74, 44.), (-30, 28.)):
        u = x - (cx + 10 * j) * c.narrow
        d = (y - h - 6 + s) - .95 * u.abs()
        c.paint(d * .7, (.90, .70, .40))
        c.paint(common(d * .7, u), (.74, .53, .30))
    _hill(c, .4, h + 6, 7, 52., .4 + j, (.98, .76, .40), (.92, .62, .28))
    x, y, line = _hill(c, .65, h + 24 * t, 9, 70., 2. + j, (.95, .66, .30), (.84, .50, .20))
    u, v = x - (76 + 8 * j) * c.narrow, y - (h + 26 * t)
    cactus = joined(box(u, v, 0, -14, 5.5, 26., 5.5), box(u, v, -13, -16, 4., 10., 4.), box(u, v, -8, -9, 7., 3.6, 3.),
                    box(u, v, 13, -22, 4., 10., 4.), box(u, v, 8, -15, 7., 3.6, 3.))
    c.paint(common(cactus, 6 - v), (.24, .56, .28))
    c.paint(common(cactus, 1.3 - (u + 1).abs(), -v), (.36, .68, .36))
    _hill(c, 1., h + 48 * t, 6, 64., .2 - j, (.90, .56, .22), (.70, .38, .14))


def snow(c):
    h, j, t = c.horizon, c.jitter[11], c.tall
    _hill(c, .3, h - 2, 10, 50., 1. + j, (.84, .90, .97), (.76, .84, .94))
    x, y = c.at(.5)
    conifers(c, x + 12 * j, y, h + 16, 44., 46., (.22, .44, .42), .6, snow=True, density=.75)
    x, y, line = _hill(c, .6, h + 20 * t, 6, 66., 2.6 + j, (.95, .97, 1.), (.84, .90, .97))
    u, v = x + (70 - 8 * j) * c.narrow, y - (h + 28 * t)
    for r, cy in ((15., -6), (11., -25), (8., -40)):
        c.paint(joined(disc(u, v, 0, cy, r + 1.6)), (.55, .62, .74))
        c.paint(disc(u, v, 0, cy, r), (1., 1., 1.))
    c.paint(box(u, v, 0, -49, 7., 5., 1.), (.20, .20, .28))
    c.paint(box(u, v, 0, -45, 11., 1.6), (.20, .20, .28))
    c.paint(box(u, v, 0, -32, 9., 2.4, 1.), (.86, .22, .22))
    c.paint(box(u, v, 5, -40, 5., 1.6, 1.), (1., .55, .12))
    _hill(c, 1., h + 46 * t, 5, 74., .4 - j, (.98, .99, 1.), (.82, .88, .96))


def city(c):
    """Windows are lit when the light is low."""
    h, j, t = c.horizon, c.jitter[11], c.tall
    dark = (1 - c.tint.mean(2, keepdim=True)).clamp(0, 1)
    lit = ((dark - .25) * 3).clamp(0, 1)
    window = c.colour(.62, .80, .92) * c.tint * (1 - lit) + c.colour(1., .84, .42) * lit
    x, y = c.at(.2)
    i, u, r = _cells(x + 10 * j, 21., .9)
    c.paint(common(10.6 - u.abs(), y - (h - 26 - 34 * r)), (.62, .68, .80))
    for depth, period, low, tones in ((.42, 40., 16., ((.80, .46, .38), (.90, .70, .44), (.46, .56, .72), (.70, .52, .66))),):
        x, y = c.at(depth)
        i, u, r = _cells(x + 8 * j, period, .35)
        top = h - low - 30 * r
        body = common(period * .46 - u.abs(), y - top)
        k = (torch.floor(scatter(i, i * 0 + 5, .8) * 3.999)).long()
        palette = constant(tones, c.device, c.dtype)
        colour = palette[k].movedim(-1, 2).squeeze(3) if k.dim() == 5 else palette[k]
        c.mix(c.cover(body), colour * c.tint, False)
        c.paint(common(body, 3.5 - (y - top - 1).abs()), (.30, .28, .36))
        wx, wy = (u + 18) % 12., (y - top - 9) % 15.
        pane = common(3.3 - (wx - 6).abs(), 4.2 - (wy - 6).abs(), body - 2, y - top - 9, h + 16 * t - y)
        n, m = torch.floor((u + 18) / 12), torch.floor((y - top - 9) / 15)
        some = 1 - lit * (scatter(n + 5 * i, m, .4) > .62)
        c.mix(c.cover(pane), window * (.25 + .75 * some), False)
    x, y = c.at(.7)
    c.paint(y - h - 22 * t, (.66, .64, .64))
    round_trees(c, x + 30, y, h + 25 * t, 92., 22., (.26, .58, .30), .2, .8)
    x, y = c.at(1.)
    c.paint(y - h - 30 * t, c.ramp(y, h + 30 * t, h + 70 * t, (.34, .34, .40), (.26, .26, .32)))
    c.paint(2.4 - (y - h - 31 * t).abs(), (.86, .84, .80))
    k = x / 44 - torch.floor(x / 44)
    c.paint(common(2.1 - (y - h - 50 * t).abs(), (.27 - (k - .5).abs()) * 44), (.96, .92, .76))


PLACES = {'sea': sea, 'beach': beach, 'meadow': meadow, 'forest': forest, 'mountains': mountains, 'desert': desert,
          'snow': snow, 'city': city}


def screen(c, place):
    """The thing in the foreground that another thing passes behind."""
    x, y = c.at(1.)
    x = x / c.narrow ** .8
    foot = c.horizon + 56 * c.tall
    if place in ('meadow', 'forest'):
        v = y - foot
        c.paint(common(9 + .0016 * (v - 4) ** 2 * (v > -30) - x.abs(), -v, v + 84), (.45, .29, .17))
        crown = joined(disc(x, v, 0, -86, 34.), disc(x, v, -26, -66, 23.), disc(x, v, 26, -66, 23.))
        c.paint(crown, (.20, .52, .20))
        c.paint(common(crown, disc(x, v, -9, -94, 21.)), (.28, .62, .26))
        c.paint(box(x, v, 0, -30, 20., 30., 6.), (.45, .29, .17))
    elif place in ('city',):
        v = y - foot
        c.paint(common(22 - x.abs(), -v, v + 104), (.62, .34, .30))
        c.paint(common(24.5 - x.abs(), 4 - (v + 104).abs()), (.40, .24, .24))
        k = (v / 13) % 1.
        c.paint(common(22 - x.abs(), -v, v + 98, (.10 - (k - .5).abs()) * 13), (.80, .58, .50))
        c.paint(box(x, v, 0, -66, 15., 15., 3.), (.98, .94, .84))
        c.paint(disc(x, v, 0, -66, 10.), (.95, .55, .20))
    elif place == 'snow':
        v = y - foot
        c.paint(common(5 - x.abs(), -v, v + 20), (.34, .22, .14))
        for n in range(4):
            low = -8 - 22. * n
            tier = _tier(x, v, low - 38., low, 36. - 5 * n)
            c.paint(tier, (.16, .40, .36))
            c.paint(common(tier, low - 22 - v + 0 * x), (.98, .99, 1.))
    else:
        v = y - foot
        tone = {'desert': (.72, .40, .22)}.get(place, (.50, .50, .56))
        rock = joined(common(30 - .05 * (v + 40) * -1 - x.abs(), v + 76, 4 - v), disc(x, v, 0, -74, 27.), disc(x, v, -14, -30, 24.), disc(x, v, 16, -40, 22.))
        rock = common(rock, 6 - v)
        c.paint(rock, tone)
        c.paint(common(rock, joined(disc(x, v, -10, -78, 14.), oval(x, v, -14, -36, 9., 16.))), tuple(min(1, q * 1.25) for q in tone))
        c.paint(common(rock, oval(x, v, 17, -24, 8., 20.)), tuple(q * .80 for q in tone))
