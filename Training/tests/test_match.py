import argparse
import unittest

import torch

import flow
import match
import nets


def tells(mean, deviation):
    """What the best net takes a noisy value for when films are normal."""
    return lambda x, at: mean + (1 - at) * deviation ** 2 / (((1 - at) * deviation) ** 2 + at ** 2) * (x - (1 - at) * mean)


class Pull(unittest.TestCase):
    def test_a_generator_of_normal_values_becomes_the_wanted_one(self):
        """Both nets are known here, so following the gradient must end at the wanted mean and deviation."""
        generator = torch.Generator().manual_seed(1)
        wanted, own = tells(1.5, .5), torch.tensor([-.5, 1.2])
        for step in range(1500):
            noise = torch.randn(256, 1, generator=generator)
            film = own[0] + own[1] * noise
            at = flow.times(256, generator).view(-1, 1)
            x = (1 - at) * film + at * torch.randn(256, 1, generator=generator)
            g = match.pull(film, wanted(x, at), tells(own[0], own[1])(x, at)).clamp(-5, 5)
            own = own - .02 * (1 - step / 1500) * torch.stack([g.mean(), (g * noise).mean()])
        self.assertAlmostEqual(own[0].item(), 1.5, delta=.05)
        self.assertAlmostEqual(own[1].item(), .5, delta=.05)

    def test_nothing_pulls_where_both_nets_agree(self):
        film = torch.randn(3, 2, 4, 4)
        self.assertEqual(match.pull(film, film * .5, film * .5).abs().max(), 0)

    def test_the_gradient_does_not_depend_on_the_scale(self):
        film, wanted, fake = (torch.randn(3, 2, 4) for _ in range(3))
        torch.testing.assert_close(match.pull(7 * film, 7 * wanted, 7 * fake), match.pull(film, wanted, fake))


class Group:
    device, cuda = torch.device('cpu'), False

    @staticmethod
    def autocast():
        return torch.autocast('cpu', enabled=False)


def game(expert=None, before=None, critic=.4):
    torch.manual_seed(0)
    student = nets.build('t2v', **dict(nets.SIZE, layers=2))
    torch.nn.init.normal_(student.head.head.weight, std=.02)
    teacher, fake = nets.grown(student, 2), nets.build('t2v', **dict(nets.SIZE, layers=2))
    torch.nn.init.normal_(fake.head.head.weight, std=.02)
    args = argparse.Namespace(mode='t2v', expert=expert, guidance=2., critic=critic, mismatch=.5, high=.3)
    return match.Game(args, Group, teacher, student, fake, match.Critic(nets.SIZE['dim'], 2), before)


SAID = (torch.randn(2, 8, nets.SIZE['text_dim'], generator=torch.Generator().manual_seed(9)), torch.tensor([8, 5]), None)
SHAPE = (2, 16, 3, 4, 8)


class Rolling(unittest.TestCase):
    def test_the_student_runs_as_the_sampler_does(self):
        """Its film at every level is the sampler's film of so many steps."""
        play = game()
        for level in range(4):
            torch.manual_seed(5)
            film, way = play.roll(torch.zeros(SHAPE), SAID, level, None)
            self.assertTrue(film.requires_grad)
            self.assertEqual(len(way), level)
            torch.manual_seed(5)
            want = flow.few_steps(play.velocity(play.student, SAID, rounded=True), SHAPE, level + 1, 80., torch.default_generator, 'cpu')
            torch.testing.assert_close(film.detach(), want, atol=1e-5, rtol=1e-5)

    def test_its_tokens_of_the_last_step_alone_are_given_and_can_be_asked(self):
        play, inner = game(), []
        film, _ = play.roll(torch.zeros(SHAPE), SAID, 2, None, inner)
        self.assertEqual([tuple(tokens.shape) for tokens in inner], [(2, 3 * 2 * 4, nets.SIZE['dim'])])
        inner[0].square().mean().backward(retain_graph=True)
        self.assertGreater(play.student.blocks[0].ffn[0].weight.grad.abs().max(), 0)

    def test_an_expert_leaves_the_levels_before_to_the_other(self):
        play = game('low', before=game().student)
        film, way = play.roll(torch.zeros(SHAPE), SAID, 3, None)
        self.assertEqual(len(way), 1)  # level 2 is its own, 0 and 1 are not
        self.assertEqual(game('low').roll(torch.zeros(SHAPE), SAID, 2, None)[1], [])

    def test_the_gradient_is_finite_and_the_critic_has_its_share(self):
        play = game()
        film, _ = play.roll(torch.zeros(SHAPE), SAID, 1, None)
        parts = []
        for share in (0., 1.):
            play.args.critic = share
            torch.manual_seed(6)
            parts.append(play.gradient(film, SAID, torch.ones(1), torch.Generator().manual_seed(7))[0])
        self.assertTrue(parts[1].isfinite().all())
        ratio = (parts[1] - parts[0]).square().mean().sqrt() / parts[0].square().mean().sqrt()
        self.assertAlmostEqual(ratio.item(), 1., delta=.02)

    def test_the_fake_net_and_the_critic_learn_from_their_lesson(self):
        play = game()
        generator = torch.Generator().manual_seed(8)
        film, z = torch.randn(SHAPE, generator=generator), 3 + torch.randn(SHAPE, generator=generator)
        optimiser = torch.optim.Adam([*play.fake.parameters(), *play.critic.parameters()], 2e-3)
        play.args.mismatch, first, last = 0., [], []
        for step in range(30):
            loss, (error, judged, _) = play.lesson((film, z, *SAID, torch.ones(1)), torch.ones(1), generator, True)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            (first if step < 5 else last if step >= 25 else []).append([error.item(), judged.item()])
        for n in range(2):
            self.assertLess(sum(v[n] for v in last), .9 * sum(v[n] for v in first))


class Growing(unittest.TestCase):
    def test_a_grown_net_says_the_same_and_can_learn_in_its_new_blocks(self):
        torch.manual_seed(3)
        net = nets.build('t2v', **dict(nets.SIZE, layers=3))
        torch.nn.init.normal_(net.head.head.weight, std=.02)
        x, t = torch.randn(SHAPE), torch.tensor([600., 900.])
        before = net(x, t, SAID[0], SAID[1]).detach()
        for layers in (4, 5, 7):
            net = nets.grown(net, layers)
            self.assertEqual(len(net.blocks), layers)
            torch.testing.assert_close(net(x, t, SAID[0], SAID[1]), before)
            self.assertEqual(nets.third(net), layers // 3)
        net(x, t, SAID[0], SAID[1]).square().mean().backward()
        self.assertTrue(all(b.ffn[2].weight.grad.abs().max() > 0 for b in net.blocks))


if __name__ == '__main__':
    unittest.main()
