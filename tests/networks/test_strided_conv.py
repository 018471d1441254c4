import subprocess
import sys

import numpy as np
import torch
from torch import nn

from vitascope.networks.strided_conv import SubsampledConv


def test_it_is_the_strided_convolution_with_the_same_weights():
    plain, own = nn.Conv2d(6, 10, 1, 2, bias=False), SubsampledConv(6, 10, 2)
    own.load_state_dict(plain.state_dict())
    for shape in ((2, 6, 8, 8), (1, 6, 7, 9), (1, 6, 1, 1)):
        x = torch.randn(shape)
        y, z = (net(x.clone().requires_grad_()) for net in (plain, own))
        np.testing.assert_allclose(z.detach(), y.detach(), atol=1e-6)
    x = torch.randn(2, 6, 8, 8)
    for net in (plain, own):
        net(x).square().sum().backward()
    np.testing.assert_allclose(own.weight.grad, plain.weight.grad, atol=1e-4)


TRAIN = """
import torch
from vitascope.networks.backbones import ResidualBlock
from vitascope.networks.resnet import BasicBlock
torch.set_num_threads(1)
for block in (ResidualBlock(12, 24, 2), BasicBlock(12, 24, 2), ResidualBlock(8, 16, 2)):
    block = block.to(memory_format=torch.channels_last)
    for _ in range(4):
        x = torch.randn(8, next(block.parameters()).shape[1], 96, 96)
        block(x.contiguous(memory_format=torch.channels_last).requires_grad_()).square().mean().backward()
"""


def test_training_over_channels_last_images_ends_in_no_crash():
    found = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr[-400:]
