"""The procedural world: scenes, photo-like stills, motions and their English and Chinese captions.

Scenes are drawn analytically with numpy. Stills are drawn too, or are crops of photographs in a folder of your own.
"""
import math
from pathlib import Path

import numpy as np
from PIL import Image

PLACES = ['sea', 'meadow', 'desert', 'snow', 'city', 'beach']
THINGS = ['ball', 'balloon', 'boat', 'car', 'kite']
COLOURS = {'red': (.86, .13, .14), 'orange': (.98, .52, .08), 'yellow': (.98, .86, .12), 'green': (.10, .62, .26),
           'blue': (.12, .30, .86), 'purple': (.52, .18, .72), 'pink': (.97, .48, .70), 'white': (.97, .97, .97)}
MOTIONS = ['right', 'left', 'up', 'down']
CAMERAS = ['still', 'left', 'right', 'in', 'out']
FRAMES = 81

EN = {
    'place': {'sea': ['over the sea', 'on the blue ocean', 'at sea', 'above the waves'],
              'meadow': ['over green hills', 'in a meadow', 'in the green grass', 'across a green field'],
              'desert': ['in the desert', 'over sand dunes', 'over the hot desert sand'],
              'snow': ['in the snow', 'before snowy mountains', 'in a white winter landscape'],
              'city': ['over a city at night', 'in the night city', 'in front of city lights'],
              'beach': ['on a beach at sunset', 'at sunset by the beach', 'on the evening beach']},
    'thing': {'ball': ['ball', 'beach ball'], 'balloon': ['balloon', 'hot air balloon'],
              'boat': ['boat', 'sailing boat', 'ship'], 'car': ['car', 'little car'], 'kite': ['kite', 'paper kite']},
    'motion': {'right': ['moves to the right', 'drifts right', 'glides from left to right', 'goes right'],
               'left': ['moves to the left', 'drifts left', 'glides from right to left', 'goes left'],
               'up': ['rises', 'moves up', 'floats upwards', 'climbs'],
               'down': ['sinks', 'moves down', 'floats downwards', 'descends']},
    'camera': {'still': ['the camera stands still', 'static shot'],
               'left': ['the camera pans left', 'slow pan to the left', 'pan left'],
               'right': ['the camera pans right', 'slow pan to the right', 'pan right'],
               'in': ['the camera pushes in', 'slow push in', 'zoom in'],
               'out': ['the camera pulls out', 'slow pull out', 'zoom out']},
    'snowfall': ['snow is falling', 'it is snowing', 'snowflakes fall'],
    'fade': ['the light fades', 'night falls', 'it grows dark'],
}
ZH = {
    'place': {'sea': ['海面上', '大海上', '蓝色的海洋上'], 'meadow': ['草地上', '绿色的山丘上', '田野里'],
              'desert': ['沙漠里', '沙丘上', '炎热的沙漠中'], 'snow': ['雪地里', '雪山前', '冬天的雪景中'],
              'city': ['夜晚的城市里', '城市夜景中', '城市灯光前'], 'beach': ['日落的海滩上', '夕阳下的沙滩上', '傍晚的海滩']},
    'thing': {'ball': ['球', '皮球'], 'balloon': ['气球', '热气球'], 'boat': ['小船', '帆船'], 'car': ['汽车', '小车'],
              'kite': ['风筝']},
    'colour': {'red': '红色', 'orange': '橙色', 'yellow': '黄色', 'green': '绿色', 'blue': '蓝色', 'purple': '紫色',
               'pink': '粉色', 'white': '白色'},
    'motion': {'right': ['向右移动', '从左向右飘', '往右走'], 'left': ['向左移动', '从右向左飘', '往左走'],
               'up': ['向上升起', '缓缓上升', '往上飘'], 'down': ['向下降落', '缓缓下降', '往下沉']},
    'camera': {'still': ['镜头静止', '固定镜头'], 'left': ['镜头向左移动', '镜头左摇'], 'right': ['镜头向右移动', '镜头右摇'],
               'in': ['镜头推近', '镜头慢慢推进'], 'out': ['镜头拉远', '镜头慢慢拉开']},
    'snowfall': ['下雪了', '雪花飘落', '天空下着雪'],
    'fade': ['光线变暗', '天黑了', '夜幕降临'],
}
SUBJECTS = ('a cat|a dog|a woman|a man|a child|a house|a street|a forest|a lake|a river|mountains|flowers|a garden|'
            'a bridge|a tower|a bird|a horse|fruit on a table|a cup of coffee|a portrait|an old town|a window|clouds|'
            'the sky|a road|trees|a train|food|a room|a church|rocks|a field|people|a painting|a toy').split('|')
SUBJECTS_ZH = '一只猫|一只狗|一个女人|一个男人|一座房子|街道|森林|湖水|山脉|花朵|花园|桥|云|树木|房间|人像|老城'.split('|')


def sample_attributes(rng, still_photo=False):
    a = {'place': None, 'thing': None, 'colour': None, 'motion': None, 'camera': 'still', 'snowfall': False,
         'fade': False}
    if still_photo:
        kind = rng.choice(['left', 'right', 'in', 'out', 'snowfall', 'fade', 'still'],
                          p=[.18, .18, .16, .14, .14, .14, .06])
        if kind in CAMERAS:
            a['camera'] = str(kind)
        else:
            a[str(kind)] = True
        return a
    a['place'], a['thing'] = str(rng.choice(PLACES)), str(rng.choice(THINGS))
    a['colour'], a['motion'] = str(rng.choice(list(COLOURS))), str(rng.choice(MOTIONS))
    u = rng.random()
    if u < .15:
        a['camera'] = 'left'
    elif u < .30:
        a['camera'] = 'right'
    elif u < .42:
        a['snowfall'] = True
    elif u < .54:
        a['fade'] = True
    return a


def caption(a, rng, chinese=None):
    chinese = rng.random() < .4 if chinese is None else chinese
    pick = lambda options: str(rng.choice(options))
    words = ZH if chinese else EN
    extra = []
    if a['camera'] != 'still' or (a['place'] is None and not (a['snowfall'] or a['fade'])):
        extra.append(pick(words['camera'][a['camera']]))
    extra += [pick(words[key]) for key in ('snowfall', 'fade') if a[key]]
    if a['place'] is None:
        u = rng.random()
        lead = [] if u < .35 else [pick(SUBJECTS_ZH if chinese else SUBJECTS)]
        if u > .7:
            lead = ['一张' + lead[0] + '的照片' if chinese else 'a photo of ' + lead[0]]
        parts = lead + extra
        if chinese:
            return '，'.join(parts) + pick(['', '。'])
        text = ', '.join(parts)
        return (text[0].upper() + text[1:] + '.') if rng.random() < .5 else text
    place, thing, motion = (pick(words[key][a[key]]) for key in ('place', 'thing', 'motion'))
    if chinese:
        colour = words['colour'][a['colour']]
        text = pick([f'一个{colour}的{thing}在{place}{motion}', f'{place}，一个{colour}{thing}{motion}',
                     f'{colour}的{thing}在{place}{motion}'])
        return '，'.join([text] + extra) + pick(['', '。'])
    article = 'an' if a['colour'][0] == 'o' else 'a'
    place_start = place[0].upper() + place[1:]
    colour = a['colour']
    text = pick([f'A {colour} {thing} {motion} {place}', f'{article} {colour} {thing} {place}, it {motion}',
                 f'{place_start}, {article} {colour} {thing} {motion}', f'The {colour} {thing} {motion} {place}'])
    text = text.replace('A orange', 'An orange')
    return ', '.join([text] + extra) + pick(['', '.'])


# ---------------------------------------------------------------- drawing

def rgb(*c):
    return np.array(c, np.float32)[:, None, None]


def blend(image, mask, colour):
    return image + mask * (colour - image)


def edge(x):
    return np.clip(x + .5, 0, 1)


def vertical(y, stops):
    """Vertical gradient: stops [(y, colour), ...]."""
    ys = [s[0] for s in stops]
    return np.stack([np.interp(y[:, 0], ys, [s[1][i] for s in stops]) for i in range(3)])[:, :, None].astype(np.float32)


def disc(x, y, cx, cy, r):
    return edge(r - np.hypot(x - cx, y - cy))


class Scene:
    """One clip: attributes plus small jitter. `frame(f)` is float32 [3,H,W] in 0..1 (f may be fractional)."""

    def __init__(self, a, rng, height=144, width=256):
        self.a, self.h, self.w = a, height, width
        self.j = rng.uniform(-1, 1, 8)
        ys, xs = np.mgrid[:height, :width].astype(np.float32)
        # unit: 144 pixels of the short side; x is centred
        self.u = min(height / 144, width / 144) if height > width else height / 144
        self.x, self.y = (xs + .5 - width / 2) / self.u, (ys + .5) / self.u
        self.H, self.W = height / self.u, width / self.u

    def background(self, f):
        a, j, x, y, H = self.a, self.j, self.x, self.y, self.H
        pan = {'left': -1, 'right': 1}.get(a['camera'], 0) * 48 * (f / 80)
        near, far = x + pan, x + pan * .5
        base = H * .56 + 3 * j[0]
        place = a['place']
        if place == 'sea':
            image = vertical(y, [(0, (.45, .72, .95)), (base, (.84, .93, .98))]) + 0 * x
            image = blend(image, disc(far, y, 78 + 6 * j[1], 28, 13), rgb(1, .96, .75))
            image = blend(image, edge(y - base), vertical(y, [(base, (.16, .55, .75)), (H, (.03, .22, .46))]))
            for i in range(3):
                crest = base + 14 + 19 * i + 2.5 * np.sin(near / (13 + 5 * i) + 2 * math.pi * f / 80 * (1 if i % 2 else -1))
                image = blend(image, .45 * edge(2.4 - np.abs(y - crest)), rgb(.62, .85, .93))
        elif place == 'meadow':
            image = vertical(y, [(0, (.35, .62, .95)), (base, (.80, .91, .98))]) + 0 * x
            for cx, cy, r in ((-70, 30, 15), (-50, 26, 19), (-30, 32, 13)):
                image = blend(image, .85 * edge((r - np.hypot((far - cx) * .7, (y - cy) * 1.3)) / 2), rgb(1, 1, 1))
            far_hill, near_hill = base + 2 - 12 * np.sin(far / 44 + .6), base + 26 - 8 * np.sin(near / 60 + 2.5)
            image = blend(image, edge(y - far_hill), rgb(.36, .66, .36))
            image = blend(image, edge(y - near_hill), vertical(y, [(base, (.42, .76, .28)), (H, (.20, .50, .14))]))
            image = blend(image, edge(3 - np.abs(near - 84)) * edge(y - base + 6) * edge(base + 36 - y), rgb(.38, .25, .14))
            image = blend(image, disc(near, y, 84, base - 8, 21), rgb(.13, .42, .17))
        elif place == 'desert':
            image = vertical(y, [(0, (.98, .83, .52)), (base, (1., .95, .80))]) + 0 * x
            image = blend(image, disc(far, y, 70 + 6 * j[1], 30, 16), rgb(1, .99, .90))
            image = blend(image, edge((y - base + 44 - .9 * np.abs(far + 66)) * .74), rgb(.84, .62, .36))
            image = blend(image, edge(y - base - 8 + 10 * np.sin(far / 48)), rgb(.93, .66, .32))
            image = blend(image, edge(y - base - 30 + 9 * np.sin(near / 62 + 2)), vertical(y, [(base, (.87, .52, .20)), (H, (.68, .35, .12))]))
        elif place == 'snow':
            image = vertical(y, [(0, (.55, .66, .80)), (base, (.87, .91, .96))]) + 0 * x
            for cx, top, slope in ((-72, 20, .95), (64, 30, .85), (-4, 42, .8)):
                d = y - top - slope * np.abs(far - cx)
                image = blend(image, edge(d * .72), rgb(.47, .54, .66))
                image = blend(image, edge(d * .72) * edge((top + 22 + 4 * np.sin(far / 5) - y) * .7), rgb(.96, .98, 1))
            image = blend(image, edge(y - base - 14 + 6 * np.sin(near / 50)), vertical(y, [(base, (.97, .98, 1.)), (H, (.78, .85, .95))]))
        elif place == 'city':
            image = vertical(y, [(0, (.03, .04, .16)), (base, (.18, .17, .40)), (H, (.30, .22, .42))]) + 0 * x
            image = blend(image, disc(far, y, -84 + 5 * j[1], 24, 12), rgb(.98, .96, .82))
            for i in range(-4, 12):
                left, top = -190 + 36 * i + 4 * (i % 3), base - (26, 4, 38, 12, 48, 18)[i % 6]
                d = np.minimum(np.minimum(far - left, left + 30 - far), y - top)
                image = blend(image, edge(d), rgb(.08, .09, .20))
                wx, wy = (far - left - 3) % 12, (y - top - 6) % 16
                lit = edge(np.minimum(np.minimum(wx - 2, 8 - wx), np.minimum(wy - 1, 9 - wy))) * edge(d - 3)
                lit = lit * ((np.floor((far - left - 3) / 12) * 7 + np.floor((y - top - 6) / 16) * 3 + i * 5) % 4 < 2.)
                image = blend(image, lit, rgb(.98, .82, .36))
            image = blend(image, edge(y - base - 34), rgb(.16, .16, .22))
            dash = edge(np.minimum((near % 48) - 2, 26 - (near % 48)))
            image = blend(image, dash * edge(2.2 - np.abs(y - base - 50)), rgb(.80, .80, .72))
        else:
            image = vertical(y, [(0, (.32, .17, .46)), (base * .6, (.88, .38, .40)), (base, (1., .73, .35))]) + 0 * x
            image = blend(image, disc(far, y, 8 * j[1], base - 2, 27), rgb(1, .92, .55))
            image = blend(image, edge(y - base), vertical(y, [(base, (.80, .45, .42)), (base + 30, (.36, .22, .44))]))
            glow = edge(2 - np.abs((y - base) % 9 - 4.5)) * edge((26 - np.abs(far - 8 * j[1]) - .2 * (y - base)) / 3)
            image = blend(image, .7 * glow * edge(y - base), rgb(1, .82, .50))
            shore = base + 30 + 4 * np.sin(near / 40 + 1) + 2 * np.sin(2 * math.pi * f / 80)
            image = blend(image, edge(y - shore), rgb(.98, .90, .82))
            image = blend(image, edge(y - shore - 3), vertical(y, [(base + 30, (.86, .66, .44)), (H, (.62, .42, .28))]))
        return image

    def position(self, f):
        """Centre of the thing; half a cosine each way, period 160 frames."""
        j, motion = self.j, self.a['motion']
        s = -math.cos(math.pi * f / 80)
        cx, cy = 5 * j[2], self.H * .5 + 4 * j[3]
        if motion in ('left', 'right'):
            cx += s * min(72, self.W * .28) * (1 if motion == 'right' else -1)
        else:
            cy += s * self.H * .24 * (1 if motion == 'down' else -1)
        return cx, cy

    def thing(self, image, f):
        a = self.a
        cx, cy = self.position(f)
        s = 1 + .06 * self.j[4]
        x, y = (self.x - cx) / s, (self.y - cy) / s
        colour = rgb(*COLOURS[a['colour']])
        dark, light = colour * .55, colour + .45 * (1 - colour)
        shade = lambda r: np.clip(.5 + (x + y) / (3 * r), 0, 1)
        body = light + shade(24) * (colour * .82 - light)
        body = colour * .65 + body * .35
        if a['thing'] == 'ball':
            m = disc(x, y, 0, 0, 25)
            image = blend(image, m, body)
            image = blend(image, m * edge(5 - np.abs(y - .22 * x)), dark)
            image = blend(image, .8 * edge((6 - np.hypot(x + 9, y + 11)) / 2), rgb(1, 1, 1))
        elif a['thing'] == 'balloon':
            for side in (-1, 1):
                image = blend(image, edge(1.2 - np.abs(x - side * (11 - .36 * (y - 14)))) * edge(y - 10) * edge(29 - y), rgb(.35, .25, .18))
            image = blend(image, edge(np.minimum(7.5 - np.abs(x), 5.5 - np.abs(y - 31))), rgb(.48, .30, .14))
            m = np.maximum(disc(x, y, 0, -9, 25), edge(np.minimum(24 - .85 * (y + 2) - np.abs(x), np.minimum(y + 6, 22 - y))))
            image = blend(image, m, body)
            image = blend(image, m * edge(5.5 - np.abs(x)), dark)
        elif a['thing'] == 'boat':
            hull = np.minimum(np.minimum(y - 8, 25 - y), 33 - .75 * (y - 8) - np.abs(x))
            image = blend(image, edge(1.6 - np.abs(x)) * edge(y + 34) * edge(9 - y), rgb(.3, .2, .14))
            image = blend(image, edge(np.minimum(np.minimum(x - 2, 5 - y), (y + 32 - 1.25 * (x - 2)) * .62)), rgb(.98, .96, .90))
            image = blend(image, edge(np.minimum(np.minimum(-x - 2, 5 - y), (y + 26 - 1.25 * (-x - 2)) * .62)), light)
            image = blend(image, edge(hull), colour)
            image = blend(image, edge(hull) * edge(y - 18), dark)
        elif a['thing'] == 'car':
            cabin = np.minimum(np.minimum(y + 20, 2 - y), 13 + .55 * (y + 20) - np.abs(x + 2))
            image = blend(image, edge(cabin), colour)
            image = blend(image, edge(cabin - 4.5), rgb(.80, .92, .98))
            image = blend(image, edge(4 - np.hypot(np.maximum(np.abs(x) - 32, 0), np.maximum(np.abs(y - 6) - 7, 0))), body)
            for side in (-19, 19):
                image = blend(image, disc(x, y, side, 17, 9.5), rgb(.10, .10, .12))
                image = blend(image, disc(x, y, side, 17, 4), rgb(.75, .75, .78))
        else:
            tail = np.abs(x - 5 * np.sin(y / 6 + 2 * math.pi * f / 40))
            image = blend(image, edge(2 - tail) * edge(y - 24) * edge(46 - y), dark)
            d = (30 - np.abs(x) * 1.25 - np.abs(y + 2)) * .62
            image = blend(image, edge(d), colour)
            image = blend(image, edge(d) * edge(x * y), light)
        return image

    def frame(self, f):
        image = self.thing(self.background(f), f)
        return overlay(image, self.a, f)


SNOW = [(int(p[0] * 256), int(p[1] * 148), 2.4 + 1.8 * p[2]) for p in np.random.default_rng(11).random((26, 3))]


def overlay(image, a, f):
    """Falling snow (a fixed pattern, two pixels a frame) and fading light."""
    if a['snowfall']:
        h, w = image.shape[1:]
        mask = np.zeros((h, w), np.float32)
        for px, py, r in SNOW:
            cy = (py + 2. * f) % 148 - 4
            for ox in range(px % 256, w + 8, 256):
                for oy in np.arange(cy, h + 8, 148):
                    y0, x0 = max(0, int(oy - r - 2)), max(0, int(ox - r - 2))
                    y1, x1 = min(h, int(oy + r + 3)), min(w, int(ox + r + 3))
                    if y1 > y0 and x1 > x0:
                        gy, gx = np.mgrid[y0:y1, x0:x1]
                        patch = edge((r - np.hypot(gx - ox, gy - oy)) / 1.5)
                        mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], patch)
        image = blend(image, .95 * mask, rgb(1, 1, 1))
    if a['fade']:
        k = min(max(f / 80, 0), 1)
        image = image * (1 - k * (1 - rgb(.20, .24, .36)))
    return image.astype(np.float32)


# ---------------------------------------------------------------- photo-like stills

def smooth_noise(rng, h, w, exponent):
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / max(h, w)) ** exponent
    spectrum = amplitude * np.exp(2j * math.pi * rng.random(amplitude.shape))
    noise = np.fft.irfft2(spectrum, s=(h, w)).astype(np.float32)
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def photo(rng, h=144, w=256):
    """Overlapping shaded, textured shapes over a soft background ("dead leaves"); float32 [3,h,w] in 0..1."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    palette = rng.uniform(.05, .95, (6, 1)) + rng.normal(0, .08, 3) + rng.normal(0, rng.uniform(.02, .16), (6, 3))
    palette = np.clip(palette, 0, 1).astype(np.float32)
    top, bottom = palette[0][:, None, None], palette[1][:, None, None]
    k = (y / h)[None]
    image = top + k * (bottom - top)
    image = image + smooth_noise(rng, h, w, rng.uniform(1.2, 2))[None] * rng.uniform(.0, .12)
    for _ in range(int(rng.integers(4, 60))):
        r = float(np.clip(5 * (rng.pareto(1.3) + 1), 4, 80))
        cx, cy, angle, ratio = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0, math.pi), rng.uniform(.3, 1)
        p = math.cos(angle) * (x - cx) + math.sin(angle) * (y - cy)
        q = (-math.sin(angle) * (x - cx) + math.cos(angle) * (y - cy)) / ratio
        kind = rng.random()
        d = r - np.hypot(p, q) if kind < .55 else (r - np.maximum(np.abs(p), np.abs(q)) if kind < .9 else r - np.abs(p) - np.abs(q))
        colour = np.clip(palette[rng.integers(6)] + rng.normal(0, .08, 3), 0, 1).astype(np.float32)[:, None, None]
        shade = 1 + rng.uniform(-.5, .5) * p / r
        image = blend(image, edge(d * ratio / rng.uniform(.8, 3)), colour * shade)
    if rng.random() < .7:
        image = image * (1 + rng.uniform(.02, .14) * smooth_noise(rng, h, w, rng.uniform(.7, 1.4))[None])
    return np.clip(image, 0, 1)


def camera_path(a, f):
    """Shift in pixels and scale of the view of a still at frame f."""
    camera, s = a['camera'], f / 80
    return {'left': -32 * s, 'right': 32 * s}.get(camera, 0.), {'in': 1 - .16 * s, 'out': 1 + .16 * s}.get(camera, 1.)


def camera_view(image, a, f):
    """The view of a still at frame f: pan, push in, pull out; beyond its border the picture is mirrored."""
    if a['camera'] in ('still', None):
        return image
    h, w = image.shape[1:]
    dx, zoom = camera_path(a, f)
    sx = (np.arange(w) + .5 - w / 2) * zoom + w / 2 - .5 + dx
    sy = (np.arange(h) + .5 - h / 2) * zoom + h / 2 - .5
    return _take(_take(image, sx, 2), sy, 1)


def _take(image, s, axis):
    n = image.shape[axis]
    lo = np.floor(s).astype(int)
    k = (s - lo).astype(np.float32)
    mirror = lambda i: np.where((m := np.mod(i, 2 * n)) < n, m, 2 * n - 1 - m)
    k = k.reshape([-1 if i == axis else 1 for i in range(3)])
    return np.take(image, mirror(lo), axis) * (1 - k) + np.take(image, mirror(lo + 1), axis) * k


def load_photos(folder):
    """Photographs as float32 [3,h,w] in 0..1; none without the folder."""
    out = []
    for path in sorted(Path(folder).glob('*')):
        image = Image.open(path).convert('RGB')
        scale = max(1, max(image.size) / 900)
        image = image.resize([round(n / scale) for n in image.size], Image.LANCZOS)
        out.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return out


def photo_crop(photos, rng, height=144, width=256):
    """A crop at a random scale, sometimes mirrored, with other colours or light."""
    image = photos[rng.integers(len(photos))]
    h, w = image.shape[1:]
    least = max(height / h, width / w)
    scale = float(np.exp(rng.uniform(np.log(least), np.log(max(1., least) * 1.3))))
    ch, cw = min(h, height / scale), min(w, width / scale)
    y, x = rng.uniform(0, h - ch), rng.uniform(0, w - cw)
    picture = Image.fromarray((image.transpose(1, 2, 0) * 255 + .5).astype(np.uint8))
    picture = picture.resize((width, height), Image.LANCZOS, (x, y, x + cw, y + ch))
    image = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    if rng.random() < .5:
        image = image[:, :, ::-1]
    if rng.random() < .35:
        image = image[rng.permutation(3)]
    image = np.clip(image * rng.uniform(.75, 1.2, (3, 1, 1)) + rng.uniform(-.08, .08), 0, 1) ** rng.uniform(.75, 1.3)
    return image.astype(np.float32)


class Still:
    """A photograph, a photo-like still or a scene, with a motion by caption."""

    def __init__(self, a, rng, photos=(), height=144, width=256):
        self.a = a
        kind = rng.random()
        if len(photos) and kind < .55:
            self.image = photo_crop(photos, rng, height, width)
        elif kind < .8:
            self.image = photo(rng, height, width)
        else:
            scene = Scene(sample_attributes(rng), rng, height, width)
            scene.a = dict(scene.a, snowfall=False, fade=False)
            self.image = scene.frame(float(rng.uniform(0, 80)))
            if rng.random() < .5:
                self.image = self.image[rng.permutation(3)]

    def frame(self, f):
        return overlay(camera_view(self.image, self.a, f), self.a, f)


def to_model(image):
    """[3,H,W] in 0..1 -> 8-bit rounded -> -1..1."""
    return (np.floor(np.clip(image, 0, 1) * 255 + .5) / 127.5 - 1).astype(np.float32)
