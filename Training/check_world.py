"""Checks of the drawn world that must hold before anything is trained on it: python check_world.py"""
import itertools

import numpy as np
import torch

import world


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    train, held = world.sample_scenes(rng, 400), world.sample_scenes(rng, 400, 'held')
    assert not {s.key for s in train} & {s.key for s in held}, 'splits overlap'
    share = sum(world.Scene(*c).held for c in itertools.product(world.PLACES, world.THINGS, world.COLOURS, world.ACTIONS[:2], world.CAMERAS[:1])) / 1600
    assert .05 < share < .15, f'held-out share {share}'
    assert world.Scene.from_dict(held[0].as_dict()) == held[0]
    for height, width in ((72, 128), (128, 72), (96, 96)):
        scenes = held[:6]
        clips = world.render(scenes, (0, 40, 80), 81, height, width)
        assert clips.shape == (6, 3, 3, height, width) and 0 <= clips.min() and clips.max() <= 1 and torch.isfinite(clips).all()
        alone = torch.cat([world.render([s], (0, 40, 80), 81, height, width) for s in scenes])
        assert (clips - alone).abs().max() < 1e-4, 'a clip depends on its batch'
        stills = world.sample_stills(rng, 12)
        pictures = world.pictures.batch([], rng, 12, height, width)
        moving = world.render_stills(stills, pictures, (0, 80), 81, height, width)
        assert (moving[:, 0] - world.first_frames(pictures, height, width)).abs().max() < 1e-3, 'frame 0 is not the picture'
        for still, clip in zip(stills, moving):
            plain = still.camera == 'static' and still.effect == 'none'
            assert plain or (clip[1] - clip[0]).abs().mean() > 2e-3, f'{still.key} does not move'
    # Each attribute shows: changing it alone changes the film.
    base = world.Scene('sea', 'boat', 'red', 'right')
    for name, options in (('place', world.PLACES), ('thing', world.THINGS), ('colour', world.COLOURS), ('action', world.ACTIONS),
                          ('camera', world.CAMERAS), ('weather', world.WEATHERS), ('light', world.LIGHTS)):
        films = world.render([world.Scene(**(base.as_dict() | {name: o})) for o in options], (16, 52), 81, 72, 128)
        for a, b in itertools.combinations(range(len(options)), 2):
            assert (films[a] - films[b]).abs().mean() > 1e-3, f'{name}: {options[a]} and {options[b]} look alike'
    # Captions name what is out of the ordinary, in both languages, and never leave a placeholder.
    for scene, language in itertools.product(held, ('en', 'zh')):
        words = world.captions.words_zh if language == 'zh' else world.captions.words_en
        text = world.caption(scene, rng, language)
        assert '{' not in text and (language == 'zh') == (not text.isascii()), text
        for name, table in (('camera', words.CAMERAS), ('weather', words.WEATHERS), ('light', words.LIGHTS), ('colour', words.COLOURS), ('thing', words.THINGS)):
            value = getattr(scene, name)
            if value != world.captions.ORDINARY.get(name):
                assert any(w.lower() in text.lower() for w in table[value]), f'{value} is not in: {text}'
    print(f'world: {len(world.PLACES)} places, {len(world.THINGS)} things, {len(world.COLOURS)} colours, {len(world.ACTIONS)} actions: all checks hold')


if __name__ == '__main__':
    main()
