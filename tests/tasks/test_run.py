import numpy as np
import pytest
import tifffile

from vitascope.core.errors import InputError, ParameterError, ReaderError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress
from vitascope.tasks import run as starting
from vitascope.tasks.registry import find_task
from vitascope.tasks.run import as_micrograph, start
from vitascope.tasks.spec import TaskSpec

ARRAY = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.fixture
def started(monkeypatch):
    """What a task was started with, instead of running it."""
    calls = []

    def note(self, inputs, params):
        calls.append((inputs, params))
        return iter([Progress(0, 1, "noted")])

    monkeypatch.setattr(TaskSpec, "start", note)
    return calls


def test_arrays_become_images_with_the_axes_and_size_given():
    image = as_micrograph(ARRAY[None], 0.5, "CYX")
    assert (image.axes, image.pixel_size_um) == ("CYX", 0.5)
    assert as_micrograph(ARRAY[None]).axes == "ZYX"


def test_a_micrograph_stays_what_it_is_unless_a_size_is_given():
    image = Micrograph.from_array(ARRAY, pixel_size_um=0.3)
    assert as_micrograph(image) is image
    assert as_micrograph(image, 0.6).pixel_size_um == 0.6


@pytest.mark.parametrize("kind", [str, lambda p: p])
def test_paths_are_read(tmp_path, kind):
    tifffile.imwrite(tmp_path / "a.tif", ARRAY)
    image = as_micrograph(kind(tmp_path / "a.tif"), 0.5)
    np.testing.assert_array_equal(image.array, ARRAY)
    assert (image.name, image.pixel_size_um) == ("a", 0.5)
    with pytest.raises(ReaderError, match="does not exist"):
        as_micrograph(kind(tmp_path / "gone.tif"))


def test_a_run_gets_image_reference_and_parameters(started):
    steps = start("stain", ARRAY, pixel_size_um=0.5, reference=ARRAY + 1, tile_px=512)
    assert next(steps).stage == "noted"
    inputs, params = started[0]
    assert list(inputs) == ["image", "reference"]
    np.testing.assert_array_equal(inputs["reference"].array, ARRAY + 1)
    assert inputs["reference"].pixel_size_um == 0.5
    assert params == find_task("stain").make_params(tile_px=512)


def test_without_a_reference_there_is_none(started):
    start("stain", ARRAY, reference=None)
    assert list(started[0][0]) == ["image"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"task": "nothing", "image": ARRAY}, ParameterError),
        ({"task": "stain", "image": ARRAY, "colour": "red"}, ParameterError),
        ({"task": "stain", "image": ARRAY[0]}, InputError),
        ({"task": "stain", "image": "nowhere.tif"}, ReaderError),
        ({"task": "stain", "image": ARRAY, "axes": "QX"}, InputError),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_loaded(monkeypatch, arguments, error):
    monkeypatch.setattr(TaskSpec, "load", lambda self: pytest.fail("the pipeline was loaded"))
    with pytest.raises(error):
        starting.start(arguments.pop("task"), arguments.pop("image"), **arguments)
