import hashlib
import importlib.util
import io
import warnings
import zipfile

import numpy as np
import pytest
import torch
import yaml

from tests_support import make_model, save_model
from vitascope.core.card import Metric
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.paths import user_models
from vitascope.engine.load_model import load_model
from vitascope.exchange.bioimageio_import import import_bioimageio
from vitascope.exchange.onnx_export import export_onnx
from vitascope.exchange.onnx_import import import_onnx
from vitascope.io.models.cards import find_cards, find_model
from vitascope.io.models.weights import read_weights
from vitascope.networks.single_output import PlainUNet

if importlib.util.find_spec("onnxscript") is None:
    pytest.skip("needs the extra 'onnx'", allow_module_level=True)

import onnx
from onnx import numpy_helper


def random_network(seed):
    return make_model(seed, model_id=f"net-{seed}", width=0.25, planes=2)


@pytest.fixture(scope="module")
def own_file(tmp_path_factory):
    """An export of ours, of a model with a figure."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_MODELS", str(folder))
        model = random_network(1)
        figure = Metric(name="PCC", value=0.5, on="somewhere")
        path = save_model(
            type(model)(model.card.model_copy(update={"metrics": (figure,)}), model.network, model.family), folder
        )
        return export_onnx(str(path), folder)


@pytest.fixture(scope="module")
def folded_file(tmp_path_factory):
    """The same network by an exporter that folds batch normalisation; its tensors are named 0, 1, 2 …"""
    path = tmp_path_factory.mktemp("theirs") / "theirs.onnx"
    network = PlainUNet(in_channels=2, out_channels=1, width=0.25).eval()
    network.load_state_dict(random_network(1).network.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 2, 32, 32),), str(path), dynamo=False)
    return renamed(path, path)


def renamed(path, out):
    """Take the names of all tensors away."""
    model = onnx.load(path)
    names = {t.name: str(n) for n, t in enumerate(model.graph.initializer)}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    del model.metadata_props[:]
    onnx.save(model, out)
    return out


@pytest.fixture(autouse=True)
def other(tmp_path, monkeypatch):
    """Only a model of the same network with other weights is here."""
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(random_network(2), user_models())


def state(name):
    return {k: v for k, v in load_model(name, "stain").network.state_dict().items() if "num_batches" not in k}


def wanted():
    return {k: v for k, v in random_network(1).network.state_dict().items() if "num_batches" not in k}


def test_a_file_of_ours_comes_back_to_the_bit_with_its_figures(own_file, no_network):
    card = import_onnx(own_file)
    assert (card.id, [m.value for m in card.metrics]) == ("net-1", [0.5])
    found = state("net-1")
    assert all(torch.equal(found[k], v) for k, v in wanted().items())
    with pytest.raises(ParameterError, match="'net-1' already"):
        import_onnx(own_file)


def test_a_file_of_ours_whose_weights_were_changed_loses_its_figures(own_file, tmp_path):
    model = onnx.load(own_file)
    last = next(t for t in model.graph.initializer if t.name == "network.last.bias")
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) + np.float32(0.1), last.name))
    onnx.save(model, tmp_path / "changed.onnx")
    card = import_onnx(tmp_path / "changed.onnx", name="changed")
    assert card.metrics == ()
    assert "No figure was measured here" in card.training["notes"][0]


def test_layers_are_found_without_names_and_with_folded_normalisation(folded_file):
    card = import_onnx(folded_file, like="net-2", name="theirs")
    network, truth = load_model("theirs", "stain").network, random_network(1).network
    x = torch.randn(1, 2, 48, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found, correct, like = network(x).image, truth(x).image, load_model("net-2", "stain").network(x).image
    torch.testing.assert_close(found, correct, atol=1e-5, rtol=0)
    assert float((like - correct).abs().max()) > 0.01
    sha256 = hashlib.sha256(folded_file.read_bytes()).hexdigest()
    assert card.training["imported_from"]["sha256"] == sha256
    told = " ".join(card.training["notes"])
    assert sha256 in told
    assert "folded" in told
    assert card.metrics == ()
    assert card.input == find_model("net-2")[0].input


def test_normalisation_that_stands_in_the_file_is_kept(own_file, tmp_path):
    import_onnx(renamed(own_file, tmp_path / "nameless.onnx"), like="net-2", name="theirs")
    found = state("theirs")
    assert all(torch.equal(found[k], v) for k, v in wanted().items())


def changed(path, out, change):
    model = onnx.load(path)
    change(model)
    onnx.save(model, out)
    return out


def relu(model):
    for node in model.graph.node:
        if node.op_type == "Elu":
            node.op_type = "Relu"
            del node.attribute[:]


def swap(model):
    """Let two layers of one shape take each other's weights: the order of the nodes counts, not that of the tensors."""
    tensors = {}
    for tensor in model.graph.initializer:
        tensors.setdefault(tuple(tensor.dims), []).append(tensor)
    first, second = next(found for shape, found in tensors.items() if len(shape) == 4 and len(found) > 1)[:2]
    one, two = numpy_helper.to_array(first), numpy_helper.to_array(second)
    node = next(n for n in model.graph.node if second.name in n.input)
    first_node = next(n for n in model.graph.node if first.name in n.input)
    assert not np.array_equal(one, two)
    node.input[1], first_node.input[1] = first.name, second.name


def test_what_computes_something_else_is_refused(folded_file, tmp_path):
    with pytest.raises(ModelError, match="computes another answer"):
        import_onnx(changed(folded_file, tmp_path / "relu.onnx", relu), like="net-2", name="theirs")
    assert "theirs" not in find_cards()


def test_layers_are_taken_in_the_order_of_the_graph(folded_file, tmp_path):
    import_onnx(changed(folded_file, tmp_path / "swapped.onnx", swap), like="net-2", name="swapped")
    import_onnx(folded_file, like="net-2", name="theirs")
    assert any(not torch.equal(state("swapped")[k], v) for k, v in state("theirs").items())


def of_a_stranger(model):
    """Put in an operator that no program knows."""
    model.opset_import.add(domain="stranger", version=1)
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type, node.domain = "Quicksort", "stranger"


def with_two_inputs(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("second", 1, [1]))


def channels_last(model):
    for side, n in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 32, 32, 2), strict=True):
        side.dim_value = n


def of_odd_sides(model):
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 40


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_a_stranger, "cannot be run"),
        (with_two_inputs, "has 2 inputs, our networks have one"),
        (channels_last, r"takes 1 x 32 x 32 x 2; that of 'net-2' takes 1 x 2 channel\(s\) x Y x X"),
        (of_odd_sides, "written for pictures of 32 x 40 px only"),
    ],
)
def test_networks_that_cannot_be_compared_are_refused(folded_file, tmp_path, change, told):
    with pytest.raises(ModelError, match=told):
        import_onnx(changed(folded_file, tmp_path / "odd.onnx", change), like="net-2", name="theirs")
    assert "theirs" not in find_cards()


def poison(model):
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def outside(model):
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (poison, "NaN or infinity"),
        (outside, "lie in other files beside it, which are not opened"),
        (lambda model: model.graph.ClearField("node"), "no sound ONNX file"),
        (lambda model: model.graph.output[0].type.Clear(), "no sound ONNX file"),
    ],
)
@pytest.mark.fault("D12")
def test_unsound_files_are_refused(folded_file, tmp_path, change, told):
    with pytest.raises(ModelError, match=told):
        import_onnx(changed(folded_file, tmp_path / "bad.onnx", change), like="net-2", name="theirs")
    assert "theirs" not in find_cards()


def test_what_is_no_onnx_or_not_there_is_refused(tmp_path, folded_file, monkeypatch):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="no sound ONNX file"):
        import_onnx(tmp_path / "text.onnx", like="net-2", name="theirs")
    with pytest.raises(ModelError, match="cannot be read"):
        import_onnx(tmp_path / "gone.onnx", like="net-2", name="theirs")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'vitascope\[onnx\]'"):
        import_onnx(folded_file, like="net-2", name="theirs")


def test_another_network_is_refused_with_what_differs(folded_file):
    save_model(make_model(model_id="wide", width=0.5, planes=2), user_models())
    with pytest.raises(ModelError, match=r"not that of 'wide': it has 0 convolution\(s\) of 8 x 2 x 3 x 3, not 1"):
        import_onnx(folded_file, like="wide", name="theirs")
    with pytest.raises(ParameterError, match="does not say which network"):
        import_onnx(folded_file)
    with pytest.raises(ParameterError, match="wants a name"):
        import_onnx(folded_file, like="net-2")


def test_the_network_of_classes_comes_back_and_its_pooling_is_not_guessed(tmp_path):
    path = export_onnx("translocation-bbbc013", tmp_path)
    card = import_onnx(path, name="again")
    assert card.weights.sha256 == find_model("translocation-bbbc013")[0].weights.sha256
    assert card.metrics
    nameless = renamed(path, tmp_path / "nameless.onnx")
    with pytest.raises(ModelError, match=r"does not hold pooling\.b of"):
        import_onnx(nameless, like="translocation-bbbc013", name="theirs")


def test_what_no_answer_depends_on_comes_from_the_file_or_the_model_it_is_like(tmp_path):
    path = export_onnx("spheroid-live-dead", tmp_path)
    import_onnx(path, name="again")
    original = find_model("spheroid-live-dead")
    tensors = read_weights(original[1], original[0].weights.sha256)
    again = read_weights(find_model("again")[1], None)
    assert all(np.array_equal(again[k], v) for k, v in tensors.items())
    import_onnx(renamed(path, tmp_path / "nameless.onnx"), like="spheroid-live-dead", name="theirs")
    theirs = read_weights(find_model("theirs")[1], None)
    assert np.array_equal(theirs["viability.conv.weight"], tensors["viability.conv.weight"].astype(np.float32))


def package_with(network, out, sha256=""):
    """A bioimage.io package of another program (format 0.4) that holds its network as ONNX."""
    data, buffer = network.read_bytes(), io.BytesIO()
    np.save(buffer, np.zeros((1, 2, 32, 32), np.float32))
    tensor = {"axes": "bcyx", "preprocessing": [{"name": "of_their_own"}]}
    tree = {
        "name": "Their network",
        "license": "MIT",
        "inputs": [tensor],
        "outputs": [{"axes": "bcyx"}],
        "test_inputs": ["in.npy"],
        "test_outputs": ["in.npy"],
        "weights": {"onnx": {"source": "net.onnx", "sha256": sha256 or hashlib.sha256(data).hexdigest()}},
    }
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("rdf.yaml", yaml.safe_dump(tree))
        package.writestr("net.onnx", data)
        package.writestr("in.npy", buffer.getvalue())
    return out


def test_a_package_with_a_network_as_onnx_is_read(folded_file, tmp_path, no_network):
    card = import_bioimageio(package_with(folded_file, tmp_path / "theirs.zip"), "theirs", "net-2")
    assert (card.title, card.licence) == ("Their network", "MIT")
    told = " ".join(card.training["notes"])
    assert "computes what the file does" in told
    assert "was not tried on the package's test picture" in told
    x = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found, correct = load_model("theirs", "stain").network(x).image, random_network(1).network(x).image
    torch.testing.assert_close(found, correct, atol=1e-5, rtol=0)
    with pytest.raises(ModelError, match=r"altered \(SHA-256 differs\)"):
        import_bioimageio(package_with(folded_file, tmp_path / "altered.zip", "0" * 64), "x", "net-2")
