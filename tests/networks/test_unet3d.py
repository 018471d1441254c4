import pytest
import torch
from torch import nn

from vitascope.networks.unet3d import HALO_ZYX, MERGE_WEIGHTS, MULTIPLE_ZYX, UNet3d, ViabilityHead


def network(**arguments):
    torch.manual_seed(0)
    made = UNet3d(width=2, **arguments).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm3d):  # as after training: the averages are no zeros and ones
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return made


def test_stages_lie_on_their_own_grids_and_the_answer_on_the_inputs():
    with torch.no_grad():
        found = network().stages(torch.randn(1, 2, 4, 8, 12))
        answer = network()(torch.randn(1, 2, 4, 8, 12))
    assert [tuple(y.shape) for y in found.logits] == [(1, 3, 4, 8, 12), (1, 3, 4, 4, 6), (1, 3, 2, 2, 3)]
    assert answer.image.shape == (1, 3, 4, 8, 12)
    assert (found.density > 0).all()


def test_probabilities_are_the_weighted_average_of_the_stages():
    made, x = network(), torch.randn(1, 2, 4, 8, 8)
    with torch.no_grad():
        stages, merged = made.stages(x), made(x).image
        expected = torch.zeros(1, 2, 4, 8, 8)
        for weight, logits in zip(MERGE_WEIGHTS, stages.logits, strict=True):
            p = torch.softmax(logits, 1)[:, 1:]
            expected += weight * nn.functional.interpolate(p, size=(4, 8, 8), mode="trilinear", align_corners=False)
    torch.testing.assert_close(merged[:, :2], expected)
    torch.testing.assert_close(merged[:, 2:], stages.density)


def test_a_residual_block_adds_its_input():
    """Two convolutions with batch normalisation and ReLU, and the skip connection: section 2.3, layer by layer."""
    made, x = network(), torch.randn(1, 2, 3, 4, 4)
    block = made.encoder[0]
    convolutions = [m for m in block.conv.modules() if isinstance(m, nn.Conv3d)]
    norms = [m for m in block.conv.modules() if isinstance(m, nn.BatchNorm3d)]
    assert [c.kernel_size for c in convolutions] == [(3, 3, 3)] * 2
    with torch.no_grad():
        y = x
        for convolution, norm in zip(convolutions, norms, strict=True):
            y = torch.relu(norm(convolution(y)))
        torch.testing.assert_close(block(x), y + block.residual(x))


def test_without_deep_supervision_there_is_one_stage_and_without_residuals_no_skip():
    made = network(deep_supervision=False, residual=False)
    with torch.no_grad():
        assert len(made.stages(torch.randn(1, 2, 2, 4, 4)).logits) == 1
    assert not any("residual" in name for name, _ in made.named_modules())


def test_the_planar_network_sees_one_plane_at_a_time():
    made, x = network(planar=True), torch.randn(1, 2, 4, 8, 8)
    other = x.clone()
    other[:, :, 2] += 1
    with torch.no_grad():
        difference = (made(x).image - made(other).image).abs().amax((0, 1, 3, 4))
    assert difference[2] > 1e-4
    assert difference[[0, 1, 3]].max() == 0


def test_a_voxel_sees_no_further_than_the_halo():
    made = network()
    edge = [2 * h // m * m for h, m in zip(HALO_ZYX, MULTIPLE_ZYX, strict=True)]
    shape = [e + 4 * m for e, m in zip(edge, MULTIPLE_ZYX, strict=True)]
    x = torch.randn(1, 2, *shape)
    other = x.clone()
    cut = [e - h for e, h in zip(edge, HALO_ZYX, strict=True)]
    other[:, :, : cut[0]], other[:, :, :, : cut[1]], other[:, :, :, :, : cut[2]] = 3, 3, 3
    with torch.no_grad():
        difference = (made(x).image - made(other).image)[:, :, edge[0] :, edge[1] :, edge[2] :].abs().max()
    assert difference < 1e-5


def test_the_viability_head_starts_as_the_quotient():
    counts = torch.tensor([[0.0, 0.1, 0.2, 0.1, 0.0], [0.0, 0.3, 0.4, 0.3, 0.0]])
    torch.testing.assert_close(ViabilityHead()(counts).detach(), counts.sum(1), atol=0.03, rtol=0)


@pytest.mark.parametrize("arguments", [{"in_channels": 0}, {"out_channels": 1}, {"width": 0}])
def test_impossible_networks_are_refused(arguments):
    with pytest.raises(ValueError, match="least"):
        UNet3d(**arguments)
