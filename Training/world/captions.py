"""Captions of scenes and animated pictures, in English and Chinese, drawn from a grammar with many phrasings.

The order may be subject, action, place, light, style, camera, or another; what is ordinary (static camera, clear weather,
daylight) is often left out, what is not is always said. `style` 'full' names everything, 'plain' leaves the ordinary out,
'short' is plain without adverbs and style words; None draws one of them.
"""
from . import words_en, words_zh
from .scene import Scene

CHINESE_SHARE = 0.4
ORDINARY = {'camera': 'static', 'weather': 'clear', 'light': 'day'}


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def caption(what, rng, language=None, style=None):
    """A caption of a Scene or Still; `language` 'en', 'zh' or None (drawn)."""
    language = language or ('zh' if rng.random() < CHINESE_SHARE else 'en')
    style = style or _pick(rng, ('full', 'plain', 'plain', 'short'))
    words = words_zh if language == 'zh' else words_en
    build = _scene if isinstance(what, Scene) else _still
    return build(what, rng, words, language == 'zh', style)


def _article(noun):
    return ('an ' if noun[0] in 'aeiou' else 'a ') + noun


def _subject(scene, rng, words, chinese):
    colour, noun = _pick(rng, words.COLOURS[scene.colour]), _pick(rng, words.THINGS[scene.thing])
    if chinese:
        measure = words.MEASURES[scene.thing] if rng.random() < .7 else ''
        if scene.thing == 'person':
            return measure + _pick(rng, words.PERSON).format(c=colour, n=noun)
        return measure + colour + ('的' if rng.random() < .7 else '') + noun
    named = _pick(rng, words.PERSON).format(c=colour, n=noun) if scene.thing == 'person' else f'{colour} {noun}'
    return ('the ' + named) if rng.random() < .15 else _article(named)


def _action(scene, rng, words, chinese, adverbs):
    options = words.ACTIONS[scene.action]
    if isinstance(options, dict):
        options = options.get(scene.place, options['else'])
    text = _pick(rng, options).format(v=_pick(rng, words.VERBS[scene.thing]))
    adverb = _pick(rng, words.ADVERBS) if adverbs else ''
    if chinese and (text.startswith('缓缓') or text.startswith('慢慢') or text.startswith('不停')):
        adverb = ''
    return adverb + text


def _extras(scene, rng, words, style):
    """Light, weather and camera: what is out of the ordinary always, what is ordinary at times."""
    out = []
    for name, table in (('light', words.LIGHTS), ('weather', words.WEATHERS), ('camera', words.CAMERAS)):
        value = getattr(scene, name)
        if value != ORDINARY[name] or style == 'full' or (style == 'plain' and rng.random() < .25):
            out.append((name, _pick(rng, table[value])))
    if rng.random() < .3 and len(out) > 1:
        out = [out[i] for i in rng.permutation(len(out))]
    return out


def _scene(scene, rng, words, chinese, style):
    adverbs = style != 'short'
    subject, action = _subject(scene, rng, words, chinese), _action(scene, rng, words, chinese, adverbs)
    place = _pick(rng, words.PLACES[scene.place])
    extras = [text for _, text in _extras(scene, rng, words, style)]
    if style != 'short' and rng.random() < .3:
        extras.append(_pick(rng, words.STYLES))
    u = rng.random()
    if chinese:
        lead = extras.pop(0) + '，' if extras and u < .2 else ''
        body = _pick(rng, [f'{subject}{place}{action}', f'{place}，{subject}{action}', f'{subject}{place}{action}'])
        return lead + '，'.join([body] + extras) + _pick(rng, ['', '。'])
    body = _pick(rng, [f'{subject} {action} {place}', f'{subject} {place} {action}', f'{place}, {subject} {action}', f'{subject} {action} {place}',
                       f'{subject} {place}, it {action}' if scene.thing != 'person' else f'{subject} {action}, {place}'])
    if extras and u < .2:
        body = f'{extras.pop(0)}, {body}'
    if rng.random() < .3:
        sentences = [body] + extras
        return ' '.join(s[0].upper() + s[1:] + '.' for s in sentences)
    text = ', '.join([body] + extras)
    if rng.random() < .6:
        text = text[0].upper() + text[1:]
    return text + _pick(rng, ['', '.', ''])


def _still(still, rng, words, chinese, style):
    parts = []
    if still.effect != 'none':
        parts.append(_pick(rng, words.EFFECTS[still.effect]))
    if still.camera != 'static' or (still.effect == 'none') or (style == 'full' and rng.random() < .5):
        parts.append(_pick(rng, words.CAMERAS[still.camera]))
    if len(parts) > 1 and rng.random() < .5:
        parts.reverse()
    u = rng.random()
    lead = [] if u < .35 or style == 'short' else [_pick(rng, words.SUBJECTS)]
    if lead and u > .75:
        lead = ['一张' + lead[0] + '的照片' if chinese else 'a photo of ' + lead[0]]
    parts = lead + parts
    if chinese:
        return '，'.join(parts) + _pick(rng, ['', '。'])
    if rng.random() < .35:
        return ' '.join(p[0].upper() + p[1:] + '.' for p in parts)
    text = ', '.join(parts)
    return (text[0].upper() + text[1:] if rng.random() < .6 else text) + _pick(rng, ['', '.'])
