"""Processes that train apart and average their weights now and then."""
import os
import socket
import unittest

import torch
import torch.multiprocessing as processes

from common import Clock, Group, Optimiser


def _train(rank, port, apart, answers):
    os.environ.update(RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), CUDA_VISIBLE_DEVICES='')
    group = Group(apart=apart)
    torch.manual_seed(rank)
    net = torch.nn.Linear(3, 2)
    group.same(net)
    optimiser, clock, seen = Optimiser([net], 1e-2, group), Clock(1e6, 0., group), []
    for step in range(1, 7):
        clock.progress()
        net(torch.randn(4, 3)).square().mean().backward()
        optimiser.step(1.)
        group.meet(step, net)
        both = [torch.zeros_like(net.weight) for _ in range(2)]
        torch.distributed.all_gather(both, net.weight.detach())
        seen.append(bool(torch.equal(*both)))
    group.close()
    answers.put((rank, seen))


class Apart(unittest.TestCase):
    def run_two(self, apart):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        context = processes.get_context('spawn')
        answers = context.SimpleQueue()
        both = [context.Process(target=_train, args=(rank, port, apart, answers)) for rank in range(2)]
        for p in both:
            p.start()
        for p in both:
            p.join(120)
            self.assertEqual(p.exitcode, 0)
        return [answers.get()[1] for _ in both]

    def test_weights_are_the_same_only_after_so_many_steps(self):
        for seen in self.run_two(3):
            self.assertEqual(seen, [False, False, True, False, False, True])

    def test_otherwise_they_are_the_same_at_every_step(self):
        for seen in self.run_two(0):
            self.assertEqual(seen, [True] * 6)

    def test_one_process_meets_nobody(self):
        net = torch.nn.Linear(3, 2)
        before = net.weight.detach().clone()
        Group(apart=2).meet(2, net)
        self.assertTrue(torch.equal(before, net.weight))


if __name__ == '__main__':
    unittest.main()
