"""What a clip shows: the lists of attributes, scenes and stills as plain values, and the split of combinations."""
from dataclasses import asdict, dataclass, replace
import hashlib

PLACES = ('sea', 'beach', 'meadow', 'forest', 'mountains', 'desert', 'snow', 'city')
THINGS = ('boat', 'balloon', 'ball', 'car', 'kite', 'bird', 'fish', 'train', 'person', 'dog')
COLOURS = ('red', 'orange', 'yellow', 'green', 'turquoise', 'blue', 'purple', 'pink', 'white', 'black')
ACTIONS = ('right', 'left', 'up', 'down', 'circle', 'bounce', 'grow', 'spin', 'behind')
CAMERAS = ('static', 'pan left', 'pan right', 'tilt up', 'tilt down', 'push in', 'pull out')
HARD = (1, 2, 5, 6)  # cameras that nets learn last
FINE = ('city', 'mountains')
WEATHERS = ('clear', 'rain', 'snow', 'fog', 'clouds', 'leaves')
LIGHTS = ('day', 'sunset', 'night', 'lamp', 'lightning')
STILL_CAMERAS = CAMERAS + ('orbit left', 'orbit right')
EFFECTS = ('none', 'ripple', 'rain', 'snow', 'fog', 'leaves', 'darken', 'sunset', 'lightning')

#: The parts of a scene whose combination is either trained or held out, never both.
SPLIT_BY = ('place', 'thing', 'colour', 'action', 'camera')
HELD_SHARE = 0.1
JITTERS = 12


@dataclass(frozen=True)
class Scene:
    """One drawn clip. `jitter`: 12 numbers in -1..1 (positions, sizes, phases: what the words leave open)."""
    place: str
    thing: str
    colour: str
    action: str
    camera: str = 'static'
    weather: str = 'clear'
    light: str = 'day'
    jitter: tuple = (0.,) * JITTERS

    @property
    def key(self):
        """The combination that the split is made by."""
        return '/'.join(getattr(self, name) for name in SPLIT_BY)

    @property
    def held(self):
        """Whether the combination is kept from training."""
        digest = hashlib.sha256(('dropreel world 3 ' + self.key).encode()).digest()
        return int.from_bytes(digest[:4], 'big') < HELD_SHARE * 2 ** 32

    def as_dict(self):
        return asdict(self)

    @staticmethod
    def from_dict(values):
        return Scene(**dict(values, jitter=tuple(values['jitter'])))


@dataclass(frozen=True)
class Still:
    """How a picture is animated: a camera move, an effect, or (rarely) both. `jitter` as in Scene."""
    camera: str = 'static'
    effect: str = 'none'
    jitter: tuple = (0.,) * JITTERS

    @property
    def key(self):
        return f'{self.camera}/{self.effect}'

    def as_dict(self):
        return asdict(self)

    @staticmethod
    def from_dict(values):
        return Still(**dict(values, jitter=tuple(values['jitter'])))


def _pick(rng, options, first):
    """The first option with probability `first`, else one of the others."""
    return options[0] if rng.random() < first else options[1 + int(rng.integers(len(options) - 1))]


def _jitter(rng, amount):
    return tuple(float(round(v, 4)) for v in rng.uniform(-1, 1, JITTERS) * amount)


def sample_scenes(rng, count, split='train', jitter=1.0, plain=0.4, hard=0., spin=None, over=0.):
    """`count` scenes of one split ('train' or 'held'). `plain`: share of static camera, clear weather, daylight each;
    `hard`: share that gets a panning or zooming camera, and half as many (or `spin`) a spinning thing: what nets learn
    last, since all other actions show a thing upright. `over`: share of those cameras that pan over one of FINE, whose
    many layers and windows are seen from elsewhere by a pan only."""
    if split not in ('train', 'held'):
        raise ValueError(f'split {split!r}: train or held')
    out, spin = [], hard / 2 if spin is None else spin
    while len(out) < count:
        scene = Scene(*(options[int(rng.integers(len(options)))] for options in (PLACES, THINGS, COLOURS, ACTIONS)),
                      _pick(rng, CAMERAS, plain), _pick(rng, WEATHERS, plain), _pick(rng, LIGHTS, plain),
                      _jitter(rng, jitter))
        if hard and rng.random() < hard:
            scene = replace(scene, camera=CAMERAS[HARD[int(rng.integers(len(HARD)))]])
            if over and rng.random() < over:
                scene = replace(scene, camera=CAMERAS[HARD[int(rng.integers(2))]], place=FINE[int(rng.integers(len(FINE)))])
        if spin and rng.random() < spin:
            scene = replace(scene, action='spin')
        if scene.held == (split == 'held'):
            out.append(scene)
    return out


def sample_stills(rng, count, jitter=1.0):
    """`count` ways of animating a picture: mostly one camera move or one effect, now and then both or neither."""
    out = []
    for _ in range(count):
        u = rng.random()
        camera = STILL_CAMERAS[1 + int(rng.integers(len(STILL_CAMERAS) - 1))] if u < .55 or .90 <= u < .97 else 'static'
        effect = EFFECTS[1 + int(rng.integers(len(EFFECTS) - 1))] if .55 <= u < .97 else 'none'
        out.append(Still(camera, effect, _jitter(rng, jitter)))
    return out
