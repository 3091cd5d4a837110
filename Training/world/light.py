"""Light and weather: skies, tints, what falls or drifts, lamps and lightning."""
import torch

from .draw import box, common, disc, joined, lift, oval, put, scatter, turn

DAY_SKIES = {'sea': ((.38, .68, .96), (.86, .95, .99)), 'beach': ((.22, .66, .95), (.80, .95, .98)),
             'meadow': ((.36, .65, .98), (.86, .94, .99)), 'forest': ((.55, .80, .92), (.88, .96, .90)),
             'mountains': ((.40, .58, .90), (.93, .90, .95)), 'desert': ((.98, .80, .46), (1., .95, .78)),
             'snow': ((.62, .76, .90), (.92, .95, .98)), 'city': ((.52, .74, .94), (.94, .92, .88))}
#: Sky top, sky at the horizon, tint of what stands in the light.
LIGHTS = {'sunset': ((.42, .20, .52), (1., .62, .28), (1., .66, .50)), 'night': ((.03, .05, .17), (.14, .18, .42), (.27, .32, .56)),
          'lamp': ((.13, .11, .30), (.46, .33, .52), (.44, .40, .58)), 'lightning': ((.13, .13, .20), (.34, .34, .42), (.42, .43, .52))}
WEATHER_SKY = {'rain': (.55, (.60, .66, .74), (.74, .79, .86)), 'snow': (.45, (.76, .80, .86), (.88, .90, .95)),
               'fog': (.55, (.84, .86, .88), (.92, .93, .94))}


def _rows(canvas, values):
    return put(values, canvas.device, canvas.dtype)[:, None, :, None, None]


class Light:
    """Sky colours and tints of every clip, [B,1 or T,3,1,1], by light and weather."""

    def __init__(self, canvas, scenes):
        tops, lows, tints, greys, shares, wet = [], [], [], [], [], []
        for s in scenes:
            day = DAY_SKIES[s.place]
            top, low, tint = (day[0], day[1], (1, 1, 1)) if s.light == 'day' else LIGHTS[s.light]
            share, grey, dull = WEATHER_SKY.get(s.weather, (0., (0, 0, 0), (1, 1, 1)))
            tops.append(top), lows.append(low), tints.append([a * b for a, b in zip(tint, dull)])
            greys.append([g * (sum(tint) / 3) ** 1.3 for g in grey]), shares.append(share)
        share = lift(shares, canvas.device, canvas.dtype)
        grey = _rows(canvas, greys)
        self.top = _rows(canvas, tops) * (1 - share) + grey * share
        self.low = _rows(canvas, lows) * (1 - share) + grey * share * 1.06
        self.tint = _rows(canvas, tints)
        is_ = lambda name: lift((float(s.light == name) for s in scenes), canvas.device, canvas.dtype)
        p, j = canvas.progress, canvas.jitter
        self.dusk = is_('sunset') * p
        self.tint = self.tint * (1 - self.dusk * _rows(canvas, [(.22, .38, .26)]))
        self.low = self.low * (1 - self.dusk * _rows(canvas, [(.10, .30, .20)]))
        self.top = self.top * (1 - .35 * self.dusk)
        flash = 0.
        for at in (.22 + .04 * j[6], .62 + .05 * j[7]):
            since = (p - at) / .13
            flash = flash + torch.where((since >= 0) & (since < 1), 1 - since, torch.zeros_like(since))
        self.flash = flash * is_('lightning')
        self.tint = self.tint + self.flash * .75
        self.low = self.low + self.flash * .50
        self.top = self.top + self.flash * .50
        self.lamp = is_('lamp') * ((p - .36) / .06).clamp(0, 1)
        self.grey = share

    def on_thing(self):
        """Things keep their colour better than the land does."""
        return 1 - (1 - self.tint) * .42


def sky(canvas, light, scenes):
    """Gradient, sun or moon, stars, clouds."""
    has = lambda f: lift((float(f(s)) for s in scenes), canvas.device, canvas.dtype)
    names = {s.light for s in scenes}
    weathers = {s.weather for s in scenes}
    x, y = canvas.at(.12)
    top, base = -canvas.height / 2, canvas.horizon
    canvas.image += canvas.ramp(y, top - 6, base + 4, light.top, light.low)
    side = .30 * canvas.width
    bright = 1 - light.grey
    if 'day' in names:
        sun = disc(x, y, side + 9 * canvas.jitter[8], top + 26, 14.)
        canvas.mix(canvas.cover(sun + 12, 14.) * has(lambda s: s.light == 'day') * .45 * bright, (1., .98, .80), False)
        canvas.mix(canvas.cover(sun, 1.5) * has(lambda s: s.light == 'day') * bright, (1., .95, .58), False)
    if 'sunset' in names:
        on = has(lambda s: s.light == 'sunset') * (.25 + .75 * bright)
        sun = disc(x, y, -side * .5 + 12 * canvas.jitter[8], base - 34 + 42 * canvas.progress, 22.)
        canvas.mix(canvas.cover(sun + 22, 40.) * on * .55, (1., .80, .42), False)
        canvas.mix(canvas.cover(sun, 1.5) * on, (1., .90, .52), False)
    if 'night' in names:
        on = has(lambda s: s.light == 'night') * bright
        i, k = torch.floor(x / 24), torch.floor(y / 20)
        seed = 1.
        u, v = scatter(i, k, seed), scatter(k, i, seed + 2.)
        star = disc(x - i * 24, y - k * 20, 4 + 16 * u, 4 + 12 * v, 1.5) + (scatter(i, k, seed + 5.) > .55) * -9.
        canvas.mix(canvas.cover(star) * on * .9, (1., 1., .86), False)
        mx, my = side + 9 * canvas.jitter[8], top + 28
        moon = common(disc(x, y, mx, my, 14.), -disc(x, y, mx - 8, my - 4, 12.))
        canvas.mix(canvas.cover(disc(x, y, mx, my, 26.), 26.) * on * .25, (.75, .80, 1.), False)
        canvas.mix(canvas.cover(moon) * on, (1., .98, .84), False)
    if 'lightning' in names:
        bolt_x = -side * .4 + 20 * canvas.jitter[10]
        t = y - top
        path = bolt_x + 9 * ((t / 22 % 2) - 1).abs() * 2 - t * .18
        bolt = common(3.4 - (x - path).abs() * .7, base + 2 - y)
        canvas.mix(canvas.cover(bolt + 7, 10.) * (light.flash > .05) * .5, (.86, .86, 1.), False)
        canvas.mix(canvas.cover(bolt) * (light.flash > .05), (1., 1., .90), False)
    if 'clouds' in weathers:
        on = has(lambda s: s.weather == 'clouds')
        tone = light.low * .35 + .65 * (light.tint * .55 + .45)
        for n, (cx, cy, size) in enumerate(((-96, 20, 1.), (-8, 34, 1.2), (84, 16, .95), (170, 38, 1.1))):
            span = canvas.width + 90
            px = (cx + 16 * canvas.jitter[9] + canvas.frame * 1.0 + span / 2) % span - span / 2
            u, v = (x - px) / size, (y - top - cy) / size
            puff = joined(oval(u, v, 0, 4, 30, 9), disc(u, v, -9, -1, 11.), disc(u, v, 8, -4, 13.), disc(u, v, 21, 3, 8.))
            canvas.mix(canvas.cover(puff * size, 2.) * on * .95, tone.clamp(max=1), False)


def haze(canvas, light, scenes, strength):
    """Fog between two layers."""
    on = lift((float(s.weather == 'fog') for s in scenes), canvas.device, canvas.dtype)
    if any(s.weather == 'fog' for s in scenes):
        x, y = canvas.at(.5)
        drift = torch.sin(x / 38 + canvas.frame * .045 + 3 * canvas.jitter[9]) * torch.sin(y / 17 + .6 * torch.sin(x / 50 - canvas.frame * .03))
        tone = .90 * (light.tint * .62 + .38).clamp(max=1.05)
        canvas.mix(on * strength * (.78 + .22 * drift), tone.clamp(max=.97), False)


def rain(canvas, strength):
    for size, speed, seed in ((1.3, 6.5, 1.), (1.9, 8.5, 4.)):
        x, y = canvas.x0 / size, canvas.y0 / size
        s = x + .22 * y
        i = torch.floor(s / 13)
        shift = scatter(i, i * 0 + 3, seed)
        v = (y - canvas.frame * speed / size) / 46 + shift * 7
        k = v - torch.floor(v)
        streak = common(1.25 - (s - i * 13 - 6.5).abs(), 8 - (k - .5).abs() * 46)
        canvas.mix(canvas.cover(streak * size, 1.2) * strength * .62, (.86, .92, 1.), False)


def snowfall(canvas, strength):
    for cell, r, speed, seed in ((34., 3.4, 1.3, 1.), (50., 5.0, 2.0, 5.)):
        x = canvas.x0 + 5 * torch.sin(canvas.frame * .05 + canvas.y0 / 30)
        y = canvas.y0 - canvas.frame * speed
        i, k = torch.floor(x / cell), torch.floor(y / cell)
        u, v = scatter(i, k, seed), scatter(k, i, seed + 3.)
        margin = r + 1
        flake = disc(x - i * cell, y - k * cell, margin + (cell - 2 * margin) * u, margin + (cell - 2 * margin) * v, r)
        canvas.mix(canvas.cover(flake, 1.5) * strength * .95, (1., 1., 1.), False)


def leaves(canvas, strength):
    for cell, speed, seed, colour in ((78., 2.4, 1., (.93, .45, .10)), (92., 3.2, 6., (.82, .24, .10)), (84., 2.8, 9., (.97, .74, .15))):
        x = canvas.x0 - canvas.frame * speed
        y = canvas.y0 - canvas.frame * .55 + 6 * torch.sin(canvas.frame * .09 + seed)
        i, k = torch.floor(x / cell), torch.floor(y / cell)
        u, v = scatter(i, k, seed), scatter(k, i, seed + 3.)
        px, py = x - i * cell - 12 - (cell - 24) * u, y - k * cell - 12 - (cell - 24) * v
        a, b = turn(px, py, canvas.frame * .13 + 6 * u)
        canvas.mix(canvas.cover(common(disc(a, b, 0, 6.6, 11.4), disc(a, b, 0, -6.6, 11.4))) * strength, colour, False)


def weather(canvas, light, scenes):
    """What falls in front of everything."""
    for name, draw in (('rain', rain), ('snow', snowfall), ('leaves', leaves)):
        if any(s.weather == name for s in scenes):
            draw(canvas, lift((float(s.weather == name) for s in scenes), canvas.device, canvas.dtype))


def lamp(canvas, light, scenes):
    """A street lamp at the right that goes on; its glow falls on everything."""
    if not any(s.light == 'lamp' for s in scenes):
        return
    on = lift((float(s.light == 'lamp') for s in scenes), canvas.device, canvas.dtype)
    x, y = canvas.at(.8)
    cx, top, foot = min(92., canvas.width * .36), -40 * min(canvas.tall, 1.3), canvas.horizon + 40 * canvas.tall
    pole = joined(box(x, y, cx, (top + foot) / 2, 2.4, (foot - top) / 2), box(x, y, cx, foot, 6., 3., 1.))
    head = box(x, y, cx, top - 4, 9., 9., 4.)
    canvas.mix(canvas.cover(pole) * on, (.12, .11, .16), False)
    canvas.mix(canvas.cover(head + 2.2) * on, (.12, .11, .16), False)
    glass = canvas.colour(.34, .32, .36) * (1 - light.lamp) + canvas.colour(1., .93, .62) * light.lamp
    canvas.mix(canvas.cover(head) * on, glass, False)
    glow = torch.exp(-((x - cx) ** 2 + (y - top) ** 2) / (2 * 40 ** 2)) * light.lamp * on
    canvas.image += glow * canvas.colour(.62, .46, .18) * (1.05 - canvas.image).clamp(min=0)
