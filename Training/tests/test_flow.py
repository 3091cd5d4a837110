import math
import unittest

import torch

import flow


class Levels(unittest.TestCase):
    def test_the_sampler_visits_rcms_levels(self):
        for got, want in zip(flow.schedule(4, 80.), (.98765, .93378, .85290, .60898, 0)):
            self.assertAlmostEqual(got, want, places=5)
        self.assertEqual(flow.schedule(2, 80.)[:2], flow.schedule(4, 80.)[:2])

    def test_the_engine_rounds_timesteps_to_bfloat16(self):
        self.assertEqual([int(flow.as_engine(torch.tensor(t))) for t in flow.schedule(4, 80.)], [988, 932, 852, 608, 0])

    def test_the_finer_schedule_passes_the_samplers_levels(self):
        levels, marks = flow.levels_through(80., (2, 2, 3, 6))
        self.assertEqual(len(levels), 14)
        for place, want in zip(marks, flow.schedule(4, 80.)):
            self.assertAlmostEqual(levels[place], want, places=12)
        self.assertEqual(sorted(levels, reverse=True), levels)

    def test_levels_for_training_stay_inside_and_fold_into_an_expert(self):
        generator = torch.Generator().manual_seed(1)
        t = flow.times(4000, generator)
        self.assertTrue(.002 <= t.min() and t.max() <= .9965)
        self.assertTrue(.05 < (t > .95).float().mean() < .5)
        high = flow.times(4000, generator, low=.9)
        self.assertGreaterEqual(high.min(), .9)


class Flow(unittest.TestCase):
    """Films that are normal with deviation s have a flow that is known: x grows as the deviation of its level does."""

    def setUp(self):
        self.s = .4
        self.deviation = lambda t: math.sqrt(((1 - t) * self.s) ** 2 + t ** 2)
        self.velocity = lambda x, t: x * (t - (1 - t) * self.s ** 2) / self.deviation(t) ** 2

    def test_integration_follows_the_known_flow(self):
        x = torch.randn(500, generator=torch.Generator().manual_seed(2)) * .98765
        errors = []
        for k in (4, 16, 64):
            levels = flow.levels_through(80., (k, k, k, 2 * k))[0]
            end = flow.integrate(self.velocity, x, levels)[-1]
            errors.append((end - x * self.s / self.deviation(levels[0])).abs().max().item())
        for rough, fine in zip(errors, errors[1:]):
            self.assertLess(fine, rough / 12)  # of second order: a quarter of the step, a sixteenth of the error

    def test_few_steps_of_a_net_that_knows_the_film_give_it(self):
        film = torch.randn(2, 3, generator=torch.Generator().manual_seed(3))
        for steps in (1, 2, 4):
            for ode in (False, True):
                got = flow.few_steps(lambda x, t: (x - film) / t, film.shape, steps, 80., torch.Generator().manual_seed(4), 'cpu', ode)
                torch.testing.assert_close(got, film, atol=2e-6, rtol=0)


if __name__ == '__main__':
    unittest.main()
