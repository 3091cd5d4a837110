"""Which scenes are drawn more often, and which of them a comparison counts."""
import argparse
import unittest

import numpy as np

import compare
import data
import world


class HardScenes(unittest.TestCase):
    def share(self, test, **more):
        scenes = world.sample_scenes(np.random.default_rng(5), 600, **more)
        return float(np.mean([test(s) for s in scenes]))

    def test_spinning_things_are_as_many_as_asked(self):
        self.assertLess(self.share(lambda s: s.action == 'spin'), .17)
        self.assertGreater(self.share(lambda s: s.action == 'spin', hard=.2, spin=.4), .4)

    def test_pans_over_what_only_they_show(self):
        over = lambda s: s.camera.startswith('pan') and s.place in world.scene.FINE
        self.assertLess(self.share(over, hard=.4), .22)
        self.assertGreater(self.share(over, hard=.4, over=1.), .36)

    def test_nothing_held_out_is_drawn(self):
        scenes = world.sample_scenes(np.random.default_rng(5), 400, hard=.4, spin=.4, over=.5)
        self.assertFalse(any(s.held for s in scenes))

    def test_without_it_the_scenes_are_those_of_always(self):
        draw = lambda **more: world.sample_scenes(np.random.default_rng(3), 40, 'held', **more)
        self.assertEqual(draw(), draw(hard=0., spin=None, over=.5))

    def test_the_mixture_of_shapes_is_whole(self):
        for buckets in (data.BUCKETS, data.MIXED):
            self.assertAlmostEqual(sum(b.share for b in buckets), 1.)


class Cases(unittest.TestCase):
    def test_a_condition_names_values_or_their_beginning(self):
        meets = compare.condition('camera=pan,place=city|mountains')
        self.assertTrue(meets({'camera': 'pan left', 'place': 'city'}))
        self.assertFalse(meets({'camera': 'static', 'place': 'city'}))
        self.assertFalse(meets({'camera': 'pan left', 'place': 'sea'}))
        self.assertTrue(compare.condition('')({'camera': 'static'}))

    def test_scenes_beyond_a_number_that_meet_it(self):
        args = argparse.Namespace(seed=1, first=300, count=5, only='action=spin', split='held')
        jobs = compare.scenes_of(args, 'en')
        self.assertEqual([j['asked']['action'] for j in jobs], ['spin'] * 5)
        self.assertGreaterEqual(min(j['number'] for j in jobs), 300)


if __name__ == '__main__':
    unittest.main()
