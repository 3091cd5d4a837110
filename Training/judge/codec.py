"""The codec as exported, for measuring the judge behind it."""
from safetensors.torch import load_file

from models import VAE


def load_codec(path, device='cpu'):
    """A VAE from its file; its widths are read from the tensors."""
    tensors = {k: v.float() for k, v in load_file(str(path)).items()}
    model = VAE(tensors['decoder.head.2.weight'].shape[1], tensors['conv2.weight'].shape[0], tensors['encoder.conv1.weight'].shape[0])
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)
