import numpy as np
import pytest
import torch

from tests_support import make_card, make_recipe
from vitascope import run
from vitascope.core.card import Architecture
from vitascope.core.errors import ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import FAMILIES, export_tensors
from vitascope.exchange.graph_import import import_graph
from vitascope.exchange.state_dict_import import import_weights
from vitascope.io.models.cards import find_model, own_models, read_card, write_card
from vitascope.io.models.weights import read_weights, write_weights
from vitascope.networks.fnet import FNet, FNet3d
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import parse_recipe
from vitascope.training.tasks.stain import run_training


def seeded(seed=0, make=FNet, **options):
    torch.manual_seed(seed)
    network = make(**{"filters": 2, **options}).eval()
    for name, value in network.state_dict().items():
        if "running_var" in name:
            value.uniform_(0.5, 1.5)
    return network


def public_names(depth=4):
    """The names of tensors in checkpoints of pytorch_fnet, written out from its layout."""
    found = {"conv_out.weight", "conv_out.bias"}
    for level in range(depth + 1):
        at = "net_recurse." + "sub_u." * level
        pairs = ("sub_2conv_more", "sub_2conv_less") if level < depth else ("sub_2conv_more",)
        layers = [f"{pair}.{kind}{n}" for pair in pairs for n in (1, 2) for kind in ("conv", "bn")]
        layers += ["conv_down", "bn0", "convt", "bn1"] if level < depth else []
        for layer in layers:
            kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            is_norm = layer.split(".")[-1].startswith("bn")
            found |= {f"{at}{layer}.{kind}" for kind in (kinds if is_norm else kinds[:2])}
    return found


def test_it_has_the_public_layout_and_size():
    network = FNet()
    assert set(network.state_dict()) == public_names()
    # by hand, first level: 1 x 32 x 9 + 32, 32 x 32 x 9 + 32; strided 32 x 32 x 4 + 32; back 64 x 32 x 4 + 32
    sizes = {name: value.numel() for name, value in network.named_parameters()}
    assert sizes["net_recurse.sub_2conv_more.conv1.weight"] == 1 * 32 * 9
    assert sizes["net_recurse.conv_down.weight"] == 32 * 32 * 4
    assert sizes["net_recurse.convt.weight"] == 64 * 32 * 4
    assert sizes["net_recurse.sub_u.sub_u.sub_u.sub_u.sub_2conv_more.conv2.weight"] == 512 * 512 * 9


def test_pictures_keep_their_size_and_features_are_sixteenths():
    found = seeded(in_channels=3, out_channels=2)(torch.zeros(2, 3, 48, 32))
    assert found.image.shape == (2, 2, 48, 32)
    assert found.encoding.shape == (2, 32, 3, 2)


def test_the_reach_is_that_of_the_family():
    network, family = seeded().double(), FAMILIES["fnet"]
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.abs() * 0.2)  # no ReLU hides a path, and nothing cancels
    reaches = []
    for row in (255, 256):  # either side of an edge on a multiple of 16
        x = torch.rand(1, 1, 512, 32, dtype=torch.float64).requires_grad_()
        network(x).image[:, :, row].sum().backward()
        seen = np.flatnonzero(x.grad.abs().amax(dim=(0, 1, 3)).numpy())
        reaches += [256 - seen[0]] if row == 256 else [seen[-1] - 255]
    # 1 of the last layer, 2 a level on the way up and down at 1, 2, 4 and 8 px, 2 at 16 px: 93; and 1 of halving
    assert reaches == [94, 94]
    assert family.halo_px >= 94
    assert family.halo_px % family.multiple_px == 0


def test_a_checkpoint_of_the_public_layout_is_read_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    ours, theirs = seeded(0), seeded(1)
    sha256 = write_weights(own_models() / "ours.safetensors", export_tensors(ours, "float32"))
    card = make_card("ours", sha256=sha256)
    architecture = Architecture(name="fnet", arguments={"filters": 2})
    weights = card.weights.model_copy(update={"file": "ours.safetensors"})
    write_card(card.model_copy(update={"architecture": architecture, "weights": weights}), own_models())
    torch.save({"nn_module": "fnet_nn_2d", "nn_state": theirs.state_dict()}, tmp_path / "theirs.pt")
    made = import_weights(tmp_path / "theirs.pt", "ours", "theirs")
    read = read_weights(find_model("theirs")[1], made.weights.sha256)
    for name, value in theirs.state_dict().items():
        if "num_batches" not in name:
            np.testing.assert_array_equal(read[name], value.numpy())


def test_it_is_trained_and_run_as_any_network_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    arguments = {"in_channels": 1, "out_channels": 1, "filters": 2}
    training = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32"}
    tree = make_recipe(tmp_path, training=training, network={"name": "fnet", "arguments": arguments})
    path = run_to_end(run_training(parse_recipe(tree, "recipe"), tmp_path, tmp_path / "out"))
    card = read_card(path)
    assert (card.architecture.name, len(card.domain.feature_mean)) == ("fnet", 32)
    image = Micrograph(np.random.default_rng(0).normal(size=(300, 290)).astype(np.float32), "YX")
    whole, cut = (run("stain", image, model=str(path), masks=False, precision="f32", tile_px=t) for t in (512, 256))
    np.testing.assert_allclose(cut.outputs[0].array, whole.outputs[0].array, atol=1e-5)


@pytest.mark.parametrize("make", [FNet, FNet3d])
def test_a_public_checkpoint_is_run_as_it_is(tmp_path, monkeypatch, make):
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    network = seeded(3, make=make)
    assert set(network.state_dict()) == public_names()
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    torch.save({"nn_module": "fnet_nn", "nn_state": state}, tmp_path / "theirs.p")
    card = import_graph(tmp_path / "theirs.p", "stain", "theirs", outputs="dna")
    assert any("random weights" in note for note in card.training["notes"])
    shape, axes = ((40, 48), "YX") if make is FNet else ((18, 32, 48), "ZYX")
    image = np.random.default_rng(0).normal(50, 9, shape).astype(np.float32)
    found = np.squeeze(run("stain", Micrograph(image, axes), model="theirs").outputs[0].array)
    prepared = (image - image.mean()) / image.std()
    padded = np.pad(prepared, [(0, -n % 16) for n in shape], mode="reflect")
    with torch.no_grad():
        wanted = network(torch.from_numpy(padded)[None, None]).image[0, 0].numpy()
    wanted = wanted[tuple(slice(n) for n in shape)]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))


def test_weights_of_another_network_are_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    torch.save(torch.nn.Conv2d(1, 1, 3).state_dict(), tmp_path / "x.pt")
    with pytest.raises(ModelError, match="not known here"):
        import_graph(tmp_path / "x.pt", "stain", "x")


@pytest.mark.parametrize("bad", [{"in_channels": 0}, {"filters": 0}])
def test_a_network_of_nothing_is_refused(bad):
    with pytest.raises(ValueError, match="at least one"):
        FNet(**bad)


@pytest.mark.parametrize(("make", "shape"), [(FNet, (1, 1, 32, 32)), (FNet3d, (2, 1, 16, 16, 16))])
def test_training_starts_from_zero_and_leaves_it_at_the_first_step(make, shape):
    network = make(filters=4)
    initialise(network, torch.Generator().manual_seed(0))
    picture = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert not network(picture).image.any()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    ((network(picture).image - 1) ** 2).mean().backward()
    optimizer.step()
    assert network(picture).image.abs().max() > 0
