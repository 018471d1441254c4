import json
import zipfile

import numpy as np
import pytest
import tifffile
import yaml
from typer.testing import CliRunner

from graph_support import Sheets, SmallUNet, seeded, to_onnx, torch_answer
from vitascope import run
from vitascope.cli.main import app
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import user_models
from vitascope.core.progress import run_to_end
from vitascope.core.status import Status
from vitascope.engine.load_model import load_model
from vitascope.exchange.graph_import import import_graph, try_on
from vitascope.exchange.graph_try import tight_windows
from vitascope.exchange.onnx_export import export_onnx
from vitascope.io.models.archive import export_model, import_model, rename_model
from vitascope.io.models.cards import find_cards, find_model, own_models, write_card

pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def invoke(*words):
    return CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def plain():
    """A network of two levels with its file: any size in fours."""
    network = seeded(SmallUNet)
    return network, to_onnx(network, (1, 1, 32, 32), free=(2, 3))


def picture(shape=(150, 131), seed=0):
    return np.random.default_rng(seed).integers(90, 4000, shape).astype(np.uint16)


def reflected(x, multiple):
    """Pad the last two axes at their far ends, as one pass over the picture does."""
    pads = [(0, 0)] * (x.ndim - 2) + [(0, -n % multiple) for n in x.shape[-2:]]
    return np.pad(x, pads, mode="reflect")


def whole_range(x):
    return (x - x.min()) / (x.max() - x.min())


def test_the_command_writes_the_graphs_own_values(plain, tmp_path):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    image = picture()
    tifffile.imwrite(tmp_path / "a.tif", image)
    done = invoke(
        *("models", "import", "net.onnx", "--task", "stain", "--name", "theirs", "--outputs", "nuclei,membrane"),
        *("--normalise", "percentile:0:100", "--try", "a.tif"),
    )
    assert done.exit_code == 0, done.output
    assert "mean_nuclei" in done.output
    done = invoke("run", "stain", "--model", "theirs", "a.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    assert "domain unknown" in done.output
    with tifffile.TiffFile(next((tmp_path / "out" / "prediction").glob("*.tif"))) as file:
        found, notes = file.asarray(), file.ome_metadata
    wanted = torch_answer(network, reflected(whole_range(image.astype(np.float64)), 4)[None])[:, :150, :131]
    assert found.dtype == np.float32
    assert float(np.abs(wanted).max()) > 2  # not scaled to 0 … 1
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.ptp(wanted))
    assert notes.index('Name="nuclei"') < notes.index('Name="membrane"')
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert "domain_unknown" in json.dumps(told)


def test_without_saying_how_both_ways_are_named(plain, tmp_path):
    (tmp_path / "net.onnx").write_bytes(plain[1])
    done = invoke("models", "import", "net.onnx", "--name", "x")
    assert done.exit_code == 2
    assert "--like" in done.output
    assert "--task" in done.output
    assert not find_model_files()


def find_model_files():
    return sorted(p.name for p in user_models().glob("*")) if user_models().is_dir() else []


def test_tiles_with_the_measured_reach_give_what_one_pass_gives(plain, tmp_path):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none")
    assert card.graph.divisor == (1, 4, 4)
    assert card.graph.step == (1, 4, 4)
    assert 4 <= max(card.graph.reach) <= 24  # 1 + 2 (1 + 4) + 4 of the deepest, upsampled by 4, and what poolings add
    tile, side = tight_windows(card, 800)
    image = picture((side, side)).astype(np.float32) / 4000
    whole = run("stain", Micrograph(image, "YX"), model="theirs")
    cut = run("stain", Micrograph(image, "YX"), model="theirs", tile_px=tile)
    assert "not_exact" not in cut.flags
    np.testing.assert_allclose(
        cut.outputs[0].array, whole.outputs[0].array, atol=1e-5 * np.ptp(np.asarray(whole.outputs[0].array))
    )
    wanted = torch_answer(network, reflected(image, 4)[None])[:, :side, :side]
    np.testing.assert_allclose(whole.outputs[0].array, wanted, atol=2e-5 * np.ptp(wanted))
    assert whole.status is Status.WARN
    assert whole.trust.level == "unknown"


def test_a_network_that_sees_the_whole_window_is_blended_and_it_is_said(tmp_path):
    network = seeded(SmallUNet, norm="instance", outputs=1, levels=1)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 32, 32), free=(2, 3)))
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none")
    assert card.graph.reach is None
    image = picture((320, 300)).astype(np.float32) / 4000
    whole = run("stain", Micrograph(image, "YX"), model="theirs")
    assert "not_exact" not in whole.flags
    wanted = torch_answer(network, reflected(image, 2)[None])[0, :320, :300]
    np.testing.assert_allclose(np.squeeze(whole.outputs[0].array), wanted, atol=2e-5 * np.ptp(wanted))
    cut = run("stain", Micrograph(image, "YX"), model="theirs", tile_px=256)
    assert "not_exact" in cut.flags
    assert np.corrcoef(np.ravel(cut.outputs[0].array), wanted.ravel())[0, 1] > 0.99


def test_windows_of_fixed_depth_slide_along_z(tmp_path):
    network = seeded(Sheets)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 5, 32, 32), free=(3, 4)))
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", outputs="a,b", normalise="minmax")
    assert card.graph.sides == (5, None, None)
    stack = picture((9, 70, 61))
    found = run("stain", Micrograph(stack, "ZYX"), model="theirs")
    output = found.outputs[0]
    assert output.axes == "CZYX"
    assert output.channel_names == ("a", "b")
    assert output.array.shape == (2, 9, 70, 61)
    prepared = whole_range(stack.astype(np.float64))
    windows = [torch_answer(network, prepared[None, z : z + 5]) for z in range(5)]
    fade = np.array([1, 2, 3, 2, 1], float)
    wanted, total = np.zeros((2, 9, 70, 61)), np.zeros(9)
    for z, window in enumerate(windows):
        weight = np.minimum(fade, max(1, 5 - 1))
        wanted[:, z : z + 5] += window * weight[:, None, None]
        total[z : z + 5] += weight
    wanted /= total[:, None, None]
    np.testing.assert_allclose(output.array, wanted, atol=2e-5 * np.ptp(wanted))
    single = run("stain", Micrograph(stack[4], "YX"), model="theirs")
    assert "planes_missing" in single.flags
    assert single.outputs[0].array.shape == (2, 70, 61)


def test_one_size_only_is_padded(tmp_path):
    network = seeded(SmallUNet, outputs=1)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 64, 64)))
    import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none")
    image = picture((50, 41)).astype(np.float32) / 4000
    found = run("stain", Micrograph(image, "YX"), model="theirs")
    padded = np.pad(image, ((0, 14), (0, 23)), mode="reflect")
    wanted = torch_answer(network, padded[None])[0, :50, :41]
    np.testing.assert_allclose(np.squeeze(found.outputs[0].array), wanted, atol=2e-5 * np.ptp(wanted))


@pytest.mark.parametrize(
    ("normalise", "prepare"),
    [
        ("zscore", lambda x: (x - x.mean()) / x.std()),
        ("median_iqr", lambda x: (x - np.median(x)) / np.subtract(*np.percentile(x, (75, 25)))),
        ("fixed:100:20", lambda x: (x - 100) / 20),
    ],
)
def test_normalisation_is_of_the_whole_image(plain, tmp_path, normalise, prepare):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise=normalise)
    image = picture((64, 64))
    found = run("stain", Micrograph(image, "YX"), model="theirs")
    wanted = torch_answer(network, prepare(image.astype(np.float64))[None])
    np.testing.assert_allclose(found.outputs[0].array, wanted, atol=5e-5 * np.ptp(wanted))


def test_a_description_tells_what_shapes_do_not(plain, tmp_path):
    network = seeded(SmallUNet, channels=3, outputs=1)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 3, 32, 32), free=(2, 3)))
    said = {"axes": "bzyx", "outputs": ["dna"], "normalise": "none", "pixel_size_um": 0.5, "licence": "MIT"}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(said))
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", spec=tmp_path / "spec.yaml")
    assert (card.graph.axes, card.input.pixel_size_um, card.licence) == ("bzyx", 0.5, "MIT")
    stack = picture((3, 40, 44)).astype(np.float32) / 4000
    found = run("stain", Micrograph(stack, "ZYX"), model="theirs")
    wanted = torch_answer(network, stack)
    np.testing.assert_allclose(np.squeeze(found.outputs[0].array), wanted[0], atol=2e-5 * np.ptp(wanted))


def test_a_package_of_bioimage_io_says_it_itself(plain, tmp_path):
    tree = {
        "format_version": "0.5.4",
        "name": "Theirs",
        "license": "CC-BY-4.0",
        "inputs": [
            {
                "id": "in",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["phase"]},
                    {"type": "space", "id": "y", "size": {"min": 16, "step": 4}},
                    {"type": "space", "id": "x", "size": {"min": 16, "step": 4}, "unit": "micrometer", "scale": 0.65},
                ],
                "preprocessing": [
                    {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
                    {"id": "scale_range", "kwargs": {"min_percentile": 1, "max_percentile": 99}},
                ],
            }
        ],
        "outputs": [
            {
                "id": "out",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["DNA", "actin"]},
                    {"type": "space", "id": "y"},
                    {"type": "space", "id": "x"},
                ],
            }
        ],
        "weights": {"onnx": {"source": "net.onnx", "opset_version": 17}},
    }
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as package:
        package.writestr("folder/rdf.yaml", yaml.safe_dump(tree))
        package.writestr("folder/net.onnx", plain[1])
    card = import_graph(tmp_path / "p.zip", "stain", "theirs")
    assert [t.name for t in card.targets] == ["DNA", "actin"]
    assert (card.input.normalisation.low, card.input.normalisation.high) == (1, 99)
    assert (card.input.channels, card.input.pixel_size_um, card.licence) == (("phase",), 0.65, "CC-BY-4.0")
    assert card.graph.divisor == (1, 4, 4)


def test_pixels_that_are_no_numbers_time_points_and_a_real_stain(plain, tmp_path):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    import_graph(tmp_path / "net.onnx", "stain", "theirs", outputs="dna,actin", normalise="minmax")
    series = picture((3, 64, 60)).astype(np.float32)
    series[1, 5:9, 7] = np.nan
    actin = np.stack(
        [torch_answer(network, whole_range(np.nan_to_num(f, nan=np.nanmedian(f)))[None])[1] for f in series]
    )
    stain = Micrograph(actin * 3 + 100, "TYX", channel_names=("actin",), name="actin")
    found = run("stain", Micrograph(series, "TYX"), model="theirs", reference=stain)
    output = found.outputs[0]
    assert (output.axes, output.array.shape) == ("TCYX", (3, 2, 64, 60))
    assert "nan_masked" in found.flags
    assert not np.asarray(output.array)[1, :, 5:9, 7].any()
    np.testing.assert_allclose(output.array[0, 1], actin[0], atol=2e-5 * np.ptp(actin))
    assert [row["time"] for row in found.rows] == [0, 1, 2]
    assert [row["pcc"] for row in (found.rows[0], found.rows[2])] == pytest.approx([1, 1])


def test_a_told_pixel_size_rescales_and_results_come_back_on_the_images_pixels(plain, tmp_path):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none", pixel_size_um=0.5)
    flat = np.full((60, 80), 0.5, np.float32) + np.linspace(0, 0.2, 80, dtype=np.float32)
    found = run("stain", Micrograph(flat, "YX", pixel_size_um=1.0), model="theirs").outputs[0]
    assert found.array.shape == (2, 60, 80)
    wide = np.tile(np.interp((np.arange(160) + 0.5) / 2 - 0.5, np.arange(80), flat[0]).astype(np.float32), (120, 1))
    wanted = torch_answer(network, wide[None]).reshape(2, 60, 2, 80, 2).mean(axis=(2, 4))
    inner = (slice(None), slice(20, 40), slice(20, 60))
    assert np.abs(np.asarray(found.array)[inner] - wanted[inner]).max() < 0.1 * np.ptp(wanted)


def test_a_stack_of_any_depth_is_read_whole(tmp_path):
    network = seeded(Sheets, outputs=1)
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 6, 32, 32), free=(2, 3, 4)))
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="minmax")
    assert card.graph.sides == (None, None, None)
    stack = picture((7, 40, 36))
    found = run("stain", Micrograph(stack, "ZYX"), model="theirs")
    wanted = torch_answer(network, whole_range(stack.astype(np.float64))[None])
    assert "not_exact" not in found.flags
    np.testing.assert_allclose(np.squeeze(found.outputs[0].array), wanted[0], atol=2e-5 * np.ptp(wanted))


def test_what_cannot_be_used_leaves_nothing(plain, tmp_path):
    (tmp_path / "net.onnx").write_bytes(plain[1])
    with pytest.raises(ParameterError, match="1 output"):
        import_graph(tmp_path / "net.onnx", "stain", "theirs", outputs="one")
    with pytest.raises(ParameterError, match="normalisation"):
        import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="magic")
    with pytest.raises(ParameterError, match="runs no networks"):
        import_graph(tmp_path / "net.onnx", "atp", "theirs")
    (tmp_path / "shrinks.onnx").write_bytes(
        to_onnx(__import__("torch").nn.Conv2d(1, 1, 5), (1, 1, 32, 32), free=(2, 3))
    )
    with pytest.raises(ModelError, match="size of its input"):
        import_graph(tmp_path / "shrinks.onnx", "stain", "theirs")
    assert not find_model_files()


def test_a_graph_moves_and_is_renamed_and_a_changed_one_is_refused(plain, tmp_path, models):
    (tmp_path / "net.onnx").write_bytes(plain[1])
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs")
    assert card.card_version == 2
    packed = export_model("theirs", tmp_path)
    assert import_model(packed, "again").weights.file == "again.onnx"
    assert rename_model("again", "other").weights.file == "other.onnx"
    assert sorted(find_cards("stain"))[-1] == "theirs"
    assert load_model("other", "stain").graph is not None
    assert export_onnx("other", tmp_path).read_bytes() == plain[1]
    with pytest.raises(ModelError, match="cannot be trained on"):
        _ = load_model("other", "stain").network
    file = find_model("theirs")[1]
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError, match="SHA-256"):
        load_model("theirs", "stain")


def test_other_cards_stay_as_they_were():
    path = find_cards()["nuclei-phase"]
    card, tree = find_model("nuclei-phase")[0], json.loads(path.read_text())
    written = json.loads(card.model_dump_json())
    assert written["card_version"] == 1
    assert set(written["weights"]) == set(tree["weights"])
    assert "graph" not in written


def test_a_network_that_sees_farther_than_was_told_is_found_out_on_the_image(plain, tmp_path):
    (tmp_path / "net.onnx").write_bytes(plain[1])
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", normalise="none")
    image = Micrograph(picture((560, 530)).astype(np.float32) / 4000, "YX", name="field")
    run_to_end(try_on(card, image))
    assert find_model("theirs")[0].graph.reach == card.graph.reach
    short = card.model_copy(update={"graph": card.graph.model_copy(update={"reach": (0, 0, 0)})})
    write_card(short, own_models())
    run_to_end(try_on(short, image))
    found = find_model("theirs")[0]
    assert found.graph.reach is None
    assert "not exact" in found.training["notes"][-1]


def test_one_normalisation_can_hold_for_all_times_of_a_field(plain, tmp_path):
    network, data = plain
    (tmp_path / "net.onnx").write_bytes(data)
    answers = {"normalise": "minmax", "per": "field"}
    card = import_graph(tmp_path / "net.onnx", "stain", "theirs", answers=answers)
    assert card.input.normalisation.per == "field"
    series = picture((3, 64, 60)) + np.array([0, 3000, 9000], np.uint16)[:, None, None]
    found = run("stain", Micrograph(series, "TYX"), model="theirs").outputs[0]
    prepared = whole_range(series.astype(np.float64))
    wanted = np.stack([torch_answer(network, one[None]) for one in prepared])
    np.testing.assert_allclose(found.array, wanted, atol=2e-5 * np.ptp(wanted))
    with pytest.raises(ParameterError, match="per: moon"):
        import_graph(tmp_path / "net.onnx", "stain", "other", answers={"per": "moon"})


def test_pictures_that_nobody_asked_for_are_left_out_and_change_nothing(plain, tmp_path):
    (tmp_path / "net.onnx").write_bytes(plain[1])
    import_graph(tmp_path / "net.onnx", "stain", "theirs", outputs="nuclei,membrane")
    image = Micrograph(np.stack([picture(), picture(seed=1)]), "TYX", name="a")
    both, one = (run("stain", image, model="theirs", targets=t) for t in (None, ("membrane",)))
    assert one.outputs[0].channel_names == ("membrane",)
    np.testing.assert_array_equal(np.asarray(one.outputs[0].array), np.asarray(both.outputs[0].array)[:, 1])
    assert [row["mean_membrane"] for row in one.rows] == [row["mean_membrane"] for row in both.rows]
    assert "mean_nuclei" not in one.rows[0]
    np.testing.assert_array_equal(one.features, both.features)
    with pytest.raises(ParameterError, match="does not predict 'er'"):
        run("stain", image, model="theirs", targets=("er",))
