import imagecodecs
import numpy as np
import pandas as pd
import pytest

from vitascope.cli.previews import OUTLINE_RGB, PREDICTED_RGB, as_grey, write_previews
from vitascope.core.micrograph import Micrograph
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.core.well import WellPosition
from vitascope.io.images.write import PictureFile, write_ome_tiff
from vitascope.io.results.folder import ResultsFolder


def test_the_middle_plane_is_scaled_to_black_and_white():
    planes = np.stack([np.full((40, 50), 9.0), np.linspace(0, 1000, 2000).reshape(40, 50), np.zeros((40, 50))])
    grey = as_grey(Micrograph(planes, "ZYX"))
    low, high = np.percentile(planes[1], (0.3, 99.7))
    np.testing.assert_allclose(grey[..., 1], np.clip((planes[1] - low) / (high - low), 0, 1))
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("value", [5.0, np.nan])
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_an_image_without_contrast_is_black(value):
    assert (as_grey(Micrograph(np.full((4, 5), value), "YX")) == 0).all()


def test_prediction_and_outlines_lie_over_the_image(tmp_path):
    image = np.random.default_rng(0).integers(0, 999, (20, 30), np.uint16)
    write_ome_tiff(tmp_path / "field.ome.tif", PictureFile(image, "YX", "uint16", "field"))
    signal = np.zeros((2, 20, 30), np.float32)
    signal[0, :5], signal[1] = 0.8, 9.0
    labels = np.zeros((20, 30), np.uint32)
    labels[8:14, 8:14] = 1
    outputs = (
        ImageOutput("prediction", "predicted", signal, "CYX", ("DNA", "other"), "", (0.0, 0.8)),
        LabelsOutput("labels", "nuclei", labels, "YX", pd.DataFrame({"label": [1]})),
    )
    with ResultsFolder(tmp_path / "out", "stain") as folder:
        folder.add(Result(outputs, ({"objects": 1},), "nuclei", WellPosition(), "field"))
        folder.close({})
    written = write_previews(tmp_path / "field.ome.tif", tmp_path / "out")
    assert [path.name for path in written] == ["input.png", "prediction.png", "labels.png"]
    grey, predicted, outlines = (imagecodecs.png_decode(path.read_bytes()).astype(int) for path in written)
    expected = np.round(np.array(PREDICTED_RGB) * 255)
    assert (predicted[:5] == expected).all()
    np.testing.assert_allclose(predicted[5:], 0.6 * grey[5:], atol=1)
    line = np.zeros((20, 30), bool)
    line[8:14, 8:14] = True
    line[9:13, 9:13] = False
    assert (outlines[line] == np.round(np.array(OUTLINE_RGB) * 255)).all()
    assert (outlines[~line] == grey[~line]).all()
