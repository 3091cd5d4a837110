import argparse
import unittest

import numpy as np
import torch

import distil
import flow
import nets
from tests.test_match import Group, SHAPE


class Bank:
    """One batch of clips, always the same."""

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.common, self.z = np.random.default_rng(1), torch.randn(SHAPE, generator=generator)

    def draw(self, tokens):
        ids = torch.ones(2, 8, dtype=torch.int32)
        return self.z, ids, torch.tensor([8, 8]), [0, 1, 2], None, self.z[:, :, 0], torch.ones(2, 1, *SHAPE[2:])

    def conditioning(self, first, picked):
        y = torch.zeros(2, 20, *SHAPE[2:])
        y[:, :4, 0], y[:, 4:, 0] = 1, first
        return y


class Film(torch.nn.Module):
    """A net that knows the film: its velocity leads there from everywhere."""

    def __init__(self, film):
        super().__init__()
        self.film = film

    def forward(self, x, step, rows, length, frames=None, topk=None):
        return (x[:, :16] - self.film) / (step / 1000).view(-1, 1, 1, 1, 1)


def paths(mode, expert=None, **more):
    args = argparse.Namespace(mode=mode, expert=expert, **{**dict(per=(2, 2, 3, 6), topks=(0.,), teacher_topk=0., guidance=1., tokens=1, own=.6, first=4., single=False), **more})
    bank = Bank()
    reader = nets.text.build(16)
    return distil.Paths(args, Group, bank, Film(bank.z + 1), Film(bank.z - 1), reader), bank


class Pairs(unittest.TestCase):
    def test_paths_end_at_the_teachers_film_and_visit_the_samplers_levels(self):
        source, bank = paths('t2v')
        seen, marks = set(), flow.schedule(4, 80.)[:4]
        for _ in range(12):
            for t, x, end, *_ in source.draw():
                seen.add(round(t, 6))
                torch.testing.assert_close(end, bank.z + 1, atol=1e-4, rtol=1e-4)
                self.assertGreater((x - end).abs().mean(), .3 * t)
        self.assertEqual(seen, {round(m, 6) for m in marks})

    def test_an_expert_sees_its_own_levels(self):
        for expert, own in (('high', slice(0, 2)), ('low', slice(2, 4))):
            source, _ = paths('i2v', expert)
            seen = {round(t, 6) for _ in range(8) for t, *_ in source.draw()}
            self.assertEqual(seen, {round(m, 6) for m in flow.schedule(4, 200.)[own]})

    def test_image_to_video_ends_in_the_picture_with_more_weight(self):
        source, bank = paths('i2v', 'low')
        for t, x, end, rows, length, y, stress in source.draw():
            torch.testing.assert_close(end[:, :, 0], bank.z[:, :, 0])
            self.assertAlmostEqual((stress[:, :, 0].mean() / stress[:, :, 1].mean()).item(), 4., places=4)
            self.assertAlmostEqual(stress.mean().item(), 1., places=5)


    def test_a_student_of_before_answers_once(self):
        source, bank = paths('i2v', 'low', single=True)
        calls = []
        forward = source.teacher.forward
        source.teacher.forward = lambda *a, **k: calls.append(1) or forward(*a, **k)
        for _ in range(4):
            (t, x, end, *_), = source.draw()
            torch.testing.assert_close(end[:, :, 1:], bank.z[:, :, 1:] + 1, atol=1e-2, rtol=1e-2)  # x is rounded to bfloat16
            torch.testing.assert_close(end[:, :, 0], bank.z[:, :, 0])
        self.assertEqual(len(calls), 4)


class Kept(unittest.TestCase):
    def test_a_shelf_keeps_what_it_has_room_for(self):
        shelf = distil.Shelf(3, np.random.default_rng(1))
        for n in range(20):
            shelf.put((n, torch.full((1, 1, 1, 1, 1), float(n)), None))
        self.assertEqual(len(shelf.kept), 3)
        number, film, nothing = shelf.take()
        self.assertEqual(film.dtype, torch.float32)
        self.assertEqual(film.item(), number)


if __name__ == '__main__':
    unittest.main()
