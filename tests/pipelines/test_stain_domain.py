import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage
from typer.testing import CliRunner

import vitascope
from graph_support import SmallUNet, seeded, to_onnx, torch_answer
from vitascope import run
from vitascope.cli.main import app
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.core.result import Trust
from vitascope.exchange.graph_import import import_graph
from vitascope.io.models.cards import find_model
from vitascope.pipelines.stain_domain import fit_domain
from vitascope.pipelines.stain_graph import of_its_domain
from vitascope.tasks.good_image import GoodImage

pytest.importorskip("onnx")
SIDE = 400


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("VITASCOPE_REFERENCES", str(tmp_path / "references"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def network():
    return seeded(SmallUNet, levels=1)


@pytest.fixture
def theirs(network, tmp_path):
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, (1, 1, 32, 32), free=(2, 3)))
    return import_graph(tmp_path / "net.onnx", "stain", "theirs", outputs="dna,actin", normalise="none")


def field(seed, blur=2.0, gain=1.0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), blur)
    return (0.5 + gain * smooth / smooth.std()).astype(np.float32)


def good(seed, stain=None):
    real = (lambda: Micrograph(stain, "YX", channel_names=("dna",), name="dna")) if stain is not None else None
    return GoodImage(f"field {seed}", lambda: Micrograph(field(seed), "YX"), real)


def invoke(*words):
    return CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200"})


def test_images_are_judged_by_those_that_their_user_trusts(theirs):
    assert "domain_unknown" in run("stain", Micrograph(field(9), "YX"), model="theirs").flags
    card = run_to_end(fit_domain("theirs", [good(seed) for seed in range(5)]))
    assert (card.domain.crops, len(card.domain.feature_mean)) == (20, 8)
    assert card.expected is None
    alike = run("stain", Micrograph(field(9), "YX"), model="theirs")
    assert (alike.trust.level, "domain_unknown" in alike.flags) == ("fits", False)
    assert not any("expected_pcc" in row for row in alike.rows)
    flat = run("stain", Micrograph(field(9, gain=0.05), "YX"), model="theirs")
    assert flat.trust.level in ("unsure", "outside")
    assert "low_contrast" in flat.flags
    other = run("stain", Micrograph(field(9, blur=0.3, gain=6), "YX"), model="theirs")
    assert "outside_model" in other.flags


def test_a_stained_image_tells_which_agreement_to_expect(theirs, network):
    rng = np.random.default_rng(3)
    clean = torch_answer(network, field(1)[None])[0]
    stain = (clean + 0.5 * clean.std() * rng.standard_normal(clean.shape)).astype(np.float32)
    card = run_to_end(fit_domain("theirs", [good(1, stain)]))
    wanted = float(np.corrcoef(clean.ravel(), stain.ravel())[0, 1])
    alike = run("stain", Micrograph(field(1), "YX"), model="theirs").rows[0]
    assert alike["expected_pcc"] == pytest.approx(wanted, abs=0.02)
    assert alike["expected_pcc_low"] <= alike["expected_pcc"] <= alike["expected_pcc_high"]
    assert card.domain.distance_99 is None
    far = run("stain", Micrograph(field(1, gain=0.05), "YX"), model="theirs").rows[0]
    assert far["expected_pcc"] is None
    again = run_to_end(fit_domain("theirs", [good(2)]))
    assert again.expected is None
    assert sum("domain was fitted" in n for n in again.training["notes"]) == 1


def test_what_cannot_be_fitted_is_said(theirs):
    before = find_model("theirs")[0]
    with pytest.raises(ModelError, match="trained on"):
        run_to_end(fit_domain("nuclei-phase", [good(1)]))
    with pytest.raises(ParameterError, match="No image"):
        run_to_end(fit_domain("theirs", []))
    small = GoodImage(
        "small",
        lambda: Micrograph(field(1)[:100, :100], "YX"),
        lambda: Micrograph(field(1)[:100, :100], "YX", channel_names=("dna",), name="dna"),
    )
    with pytest.raises(ParameterError, match="larger stained"):
        run_to_end(fit_domain("theirs", [small]))
    assert find_model("theirs")[0] == before


def test_each_picture_is_shown_by_limits_of_its_own_that_hot_pixels_do_not_set(theirs):
    image = field(2)
    image[::97, ::97] *= 50
    output = vitascope.run("stain", Micrograph(image, "YX", name="hot"), model="theirs").outputs[0]
    assert len(output.channel_limits) == 2
    for k, (low, high) in enumerate(output.channel_limits):
        plane = np.asarray(output.array[k])
        assert np.mean((plane >= low) & (plane <= high)) > 0.98
        assert high - low < 0.8 * float(np.ptp(plane))


def test_the_command_fits_and_a_run_then_has_no_word_of_an_unknown_domain(theirs, tmp_path):
    for seed in range(3):
        tifffile.imwrite(tmp_path / f"good_{seed}.tif", field(seed))
    tifffile.imwrite(tmp_path / "new.tif", field(1))
    done = invoke("models", "domain", "theirs", "good_*.tif")
    assert done.exit_code == 0, done.output
    assert "3 image(s)" in done.output
    done = invoke("run", "stain", "--model", "theirs", "new.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    assert "domain_unknown" not in pd.read_csv(tmp_path / "out" / "results.csv")["flags"].fillna("").iloc[0]
    two = invoke("models", "domain", "theirs", "good_*.tif", "--stain", "new.tif")
    assert two.exit_code == 2
    assert "one image" in two.output


def test_drift_and_comparison_work_on_its_answers(theirs, network, tmp_path):
    for seed in range(24):
        tifffile.imwrite(tmp_path / f"ref_{seed:02}.tif", field(seed)[:200, :200])
        tifffile.imwrite(tmp_path / f"same_{seed:02}.tif", field(100 + seed)[:200, :200])
        tifffile.imwrite(tmp_path / f"off_{seed:02}.tif", field(100 + seed, blur=0.5, gain=3)[:200, :200])
    made = invoke("drift", "reference", "ref_*.tif", "--model", "theirs", "--name", "ours", "-o", "ours.drift")
    assert made.exit_code == 0, made.output
    told = {}
    for kind in ("same", "off"):
        done = invoke("drift", "test", f"{kind}_*.tif", "--reference", "ours.drift", "--window", "6", "-o", kind)
        assert done.exit_code == 0, done.output
        told[kind] = pd.read_csv(tmp_path / kind / "drift.csv")["drift_alarm"].fillna(0).astype(bool)
    assert told["off"].mean() > 0.6 > 0.3 > told["same"].mean()  # the first five are no full window
    actin = torch_answer(network, field(0)[None, :200, :200])[1]
    tifffile.imwrite(tmp_path / "actin.tif", actin)
    assert invoke("run", "stain", "--model", "theirs", "ref_00.tif", "-o", "out").exit_code == 0
    predicted = next((tmp_path / "out" / "prediction").glob("*.tif"))
    done = invoke(
        "compare-stain", "ref_00.tif", "--predicted", predicted, "--real", "actin=actin.tif", "-o", "compared"
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "compared" / "agreement.csv")
    assert table.query("target == 'actin' and quantity == 'pcc'")["value"].iloc[0] == pytest.approx(1, abs=5e-3)


def test_what_a_picture_is_compared_with_is_not_called_training_images():
    assert of_its_domain(Trust("fits")).reasons == ("The image looks like images of its domain.",)
    told = of_its_domain(Trust("outside", ("The contrast is 3; training images lie between 1 and 2.",)))
    assert told == Trust("outside", ("The contrast is 3; images of its domain lie between 1 and 2.",))
    assert of_its_domain(Trust("unknown")) == Trust("unknown")
