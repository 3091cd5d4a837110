import unittest

import torch

import train_vae


class Wider(unittest.TestCase):
    def test_a_widened_decoder_gives_the_same_frames_and_learns_everywhere(self):
        torch.manual_seed(1)
        narrow = train_vae.build().requires_grad_(False)
        for name, p in narrow.decoder.named_parameters():
            if name.endswith('gamma'):
                p.uniform_(.5, 1.5)
        wide = train_vae.widened(narrow, 16)
        z = torch.randn(1, 16, 3, 6, 6)
        torch.testing.assert_close(wide.decode(z), narrow.decode(z), atol=1e-4, rtol=1e-4)
        x = torch.randn(1, 3, 1, 32, 32).clamp(-1, 1)
        torch.testing.assert_close(wide.encode(x), narrow.encode(x))
        self.assertEqual(train_vae.sizes_of(wide.state_dict()), {'dim': 16, 'encoder_dim': 12})
        wide.requires_grad_(True).decode(z).square().mean().backward()
        self.assertEqual([n for n, p in wide.decoder.named_parameters() if p.grad is None or not p.grad.abs().max() > 0], [])


if __name__ == '__main__':
    unittest.main()
