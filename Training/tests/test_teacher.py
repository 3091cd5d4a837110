"""What a teacher is asked besides the velocity."""
import unittest

import numpy as np
import torch

import data
import train_teacher
import world
from world.draw import Canvas
from world.motion import set_camera


class SlowChanges(unittest.TestCase):
    def test_a_ramp_in_time_is_slow_and_what_alternates_is_not(self):
        ramp = torch.linspace(-1, 1, 21).view(1, 1, 21, 1, 1).expand(2, 3, 21, 4, 6)
        whole = ramp.square().mean((1, 2, 3, 4))
        self.assertTrue(torch.all(train_teacher.slow(ramp, 4) > .98 * whole))
        turns = torch.tensor([1., -1.]).repeat(11)[:21].view(1, 1, 21, 1, 1).expand(2, 3, 21, 4, 6)
        self.assertTrue(torch.all(train_teacher.slow(turns, 4) < .01))

    def test_a_constant_error_is_none_of_them(self):
        self.assertTrue(torch.all(train_teacher.slow(torch.ones(1, 2, 9, 2, 2), 4) < 1e-10))

    def test_all_modes_together_are_the_error_without_its_mean(self):
        x = torch.randn(2, 3, 9, 4, 4, generator=torch.Generator().manual_seed(1))
        want = (x - x.mean(2, keepdim=True)).square().mean((1, 2, 3, 4))
        torch.testing.assert_close(train_teacher.slow(x, 99), want)


class PlacesInTheWorld(unittest.TestCase):
    def asked(self, camera, b=data.BUCKETS[0], frames=range(0, 81, 4)):
        scene = world.Scene('city', 'car', 'red', 'right', camera)
        moves = data.cameras([scene], 'scene', frames, 81, b.height, b.width, 'cpu')
        return scene, moves, train_teacher.world_places(moves, b, 'cpu').unflatten(1, (len(frames), b.height // 16, b.width // 16))

    def test_they_are_the_renderers_coordinates(self):
        for camera in ('pan left', 'tilt up', 'push in'):
            scene, _, got = self.asked(camera)
            canvas = Canvas([scene.jitter], range(0, 81, 4), 81, 144, 256, torch.device('cpu'), torch.float32)
            set_camera(canvas, [camera])
            each = 2 + 2 * len(train_teacher.LENGTHS)
            for n, depth in enumerate(train_teacher.DEPTHS):
                x, y = canvas.at(depth)
                x, y = (v.expand(1, 21, 1, 144, 256)[0, :, 0] for v in (x, y))
                middle = lambda v: v.unfold(1, 16, 16).unfold(2, 16, 16).mean((3, 4))
                torch.testing.assert_close(got[0, ..., n * each] * 128, middle(x), atol=1e-3, rtol=1e-4)
                torch.testing.assert_close(got[0, ..., n * each + 1] * 72, middle(y), atol=1e-3, rtol=1e-4)

    def test_a_still_camera_shows_every_token_one_place(self):
        _, moves, got = self.asked('static')
        self.assertTrue(torch.all(moves[..., :2] == 0) and torch.all(moves[..., 2] == 1))
        torch.testing.assert_close(got, got[:, :1].expand_as(got))

    def test_photographs_have_no_world(self):
        stills = world.sample_stills(np.random.default_rng(1), 2)
        self.assertEqual(data.cameras(stills, 'still', range(3), 9, 144, 256, 'cpu').abs().max(), 0)


if __name__ == '__main__':
    unittest.main()
