"""The codec as exported, for measuring the judge behind it."""
from pathlib import Path

from safetensors.torch import load_file
import torch

from models import VAE


def load_codec(path, device='cpu'):
    """A VAE from its file, exported (.safetensors) or from W/ckpt (.pt); its widths are read from the tensors."""
    tensors = torch.load(path)['net'] if Path(path).suffix == '.pt' else load_file(str(path))
    tensors = {k: v.float() for k, v in tensors.items()}
    model = VAE(tensors['decoder.head.2.weight'].shape[1], tensors['conv2.weight'].shape[0], tensors['encoder.conv1.weight'].shape[0])
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)
