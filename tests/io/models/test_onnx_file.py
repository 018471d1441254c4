import importlib.util

import numpy as np
import pytest

from graph_support import SmallUNet, seeded, to_onnx
from vitascope.core.errors import ModelError
from vitascope.io.models.onnx_file import check_onnx
from vitascope.io.models.protobuf import fields, read_varint

if importlib.util.find_spec("onnx") is None:
    pytest.skip("needs the extra 'onnx'", allow_module_level=True)

import onnx
from onnx import TensorProto, helper, numpy_helper


def small_model(nodes=None, initializers=(), opset=17, domains=(), sides=(1, 1, "h", "w")):
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, sides) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], initializer=list(initializers))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports)


def external(name="w"):
    """A tensor whose numbers lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    return tensor


def hidden_in(place):
    """A model with a tensor of another file in a place that is easily overlooked."""
    model = small_model()
    if place == "initializer":
        model.graph.initializer.append(external())
    elif place == "attribute":
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external()))
    elif place == "branch":
        branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=external())], "b", [], [])
        model.graph.node.append(helper.make_node("If", ["k"], ["i"], then_branch=branch, else_branch=branch))
    elif place == "training":
        model.training_info.add().initialization.initializer.append(external())
    elif place == "algorithm":
        model.training_info.add().algorithm.initializer.append(external())
    elif place == "sparse":
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(external())
    elif place == "function":
        function = model.functions.add(name="f", domain="own")
        function.node.append(helper.make_node("Constant", [], ["c"], value=external()))
    elif place == "list without a location":
        tensor = numpy_helper.from_array(np.zeros(1, np.float32), "w")
        tensor.external_data.add(key="location", value="elsewhere")
        model.graph.initializer.append(tensor)
    return model.SerializeToString()


PLACES = (
    "initializer",
    "attribute",
    "branch",
    "training",
    "algorithm",
    "sparse",
    "function",
    "list without a location",
)


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_other_files_are_refused_wherever_they_are_named(place):
    data = hidden_in(place)
    with pytest.raises(ModelError, match="other files"):
        check_onnx(data, "net.onnx", own_operators=True)
    with pytest.raises(ModelError, match=r"other files|operators of its own"):
        check_onnx(data, "net.onnx")


def test_it_reads_what_the_library_of_onnx_reads():
    data = to_onnx(seeded(SmallUNet), (1, 1, 32, 32), free=(2, 3))
    found, model = check_onnx(data, "net.onnx"), onnx.load_model_from_string(data)
    assert found.opset == 17
    assert found.nodes == len(model.graph.node)
    assert found.inputs[0].name == "x"
    assert found.inputs[0].sides == (1, 1, None, None)
    assert found.outputs[0].sides[:2] == (1, 2)
    counted = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
    constants = [a.t for n in model.graph.node for a in n.attribute if a.type == onnx.AttributeProto.TENSOR]
    assert found.parameters == counted + sum(int(np.prod(t.dims)) for t in constants)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            small_model([helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")], domains=("com.microsoft",)),
            "own",
        ),
        (small_model([helper.make_node("RandomNormal", [], ["y"], shape=[1])]), "RandomNormal"),
        (small_model([helper.make_node("Loop", ["a", "b"], ["y"], body=helper.make_graph([], "b", [], []))]), "Loop"),
        (small_model(opset=6), "version 6"),
        (small_model(initializers=[TensorProto(name="w", data_type=1, dims=[1 << 40])]), "larger than any"),
        (small_model(initializers=[TensorProto(name="w", data_type=1, dims=[9], raw_data=b"1234")]), "as many numbers"),
        (small_model(initializers=[TensorProto(name="w", data_type=8, dims=[1], string_data=[b"s"])]), "type"),
        (
            small_model(initializers=[TensorProto(name="w", data_type=1, dims=[-1], raw_data=b"1234")]),
            "larger than any",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_no_network_for_pictures_needs_is_refused(model, told):
    with pytest.raises(ModelError, match=told):
        check_onnx(model.SerializeToString(), "net.onnx")


def test_every_cut_off_file_is_refused_or_read_without_a_fault():
    data = small_model(initializers=[numpy_helper.from_array(np.zeros(3, np.float32), "w")]).SerializeToString()
    check_onnx(data, "net.onnx")
    refused = 0
    for end in range(len(data)):
        try:
            check_onnx(data[:end], "net.onnx")
        except ModelError:
            refused += 1
    assert refused > 0.9 * len(data)


def test_graphs_nested_in_graphs_end_somewhere():
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    for _ in range(8):
        graph = helper.make_graph([helper.make_node("If", ["k"], ["y"], then_branch=graph)], "g", [], [])
    model = small_model()
    model.graph.node.append(helper.make_node("If", ["k"], ["z"], then_branch=graph))
    with pytest.raises(ModelError, match="too deeply"):
        check_onnx(model.SerializeToString(), "net.onnx")


def test_a_message_given_twice_is_refused_since_others_would_join_it():
    data = small_model().SerializeToString()
    with pytest.raises(ModelError, match="2 graphs"):
        check_onnx(data + data, "net.onnx")


@pytest.mark.parametrize("data", [b"\x80" * 11, b"\x80", b"\xff" * 9 + b"\x7f"])
def test_a_number_that_does_not_end_is_refused(data):
    with pytest.raises(ValueError, match="number"):
        read_varint(memoryview(data), 0)


@pytest.mark.parametrize("data", [b"\x0b", b"\x0a\x05a", b"\x00\x00", b"\x0d\x01"])
def test_a_field_that_is_none_is_refused(data):
    with pytest.raises(ValueError, match=r"field|message"):
        list(fields(memoryview(data)))
