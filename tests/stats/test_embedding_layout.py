"""Pictures of features: nothing moves what is there already, and the same seed gives the same picture."""

import subprocess
import sys

import numpy as np
import pytest

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.embedding.layout import METHODS, fit_layout, is_installed

RNG = np.random.default_rng(0)
KIND = RNG.integers(0, 2, 80)
TABLE = RNG.normal(size=(80, 30)) + 6 * KIND[:, None] * RNG.normal(size=30)


@pytest.mark.parametrize("method", METHODS)
def test_kinds_that_lie_apart_stay_apart_and_new_images_fall_among_their_own(method):
    if not is_installed(method):
        pytest.skip("the extra 'embedding' is not installed")
    made = fit_layout(TABLE[:60], method, 10)
    assert made.places.shape == (60, 2)
    new = made.place(TABLE[60:])
    assert new.shape == (20, 2)
    centres = np.stack([made.places[KIND[:60] == kind].mean(axis=0) for kind in (0, 1)])
    nearest = np.linalg.norm(new[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == KIND[60:]).all()
    np.testing.assert_allclose(made.place(TABLE[63:64])[0], new[3], rtol=1e-12, atol=1e-12)  # whoever else is put there
    again = fit_layout(TABLE[:60], method, 10)
    np.testing.assert_array_equal(again.places, made.places)
    np.testing.assert_array_equal(again.place(TABLE[60:]), new)


def test_what_makes_no_picture_is_refused(monkeypatch):
    with pytest.raises(ParameterError, match="'tsne'"):
        fit_layout(TABLE, "tsne")
    with pytest.raises(ParameterError, match="1 components"):
        fit_layout(TABLE, "pca", 1)
    with pytest.raises(InputError, match="19 images are too few for UMAP"):
        fit_layout(TABLE[:19], "umap")
    with pytest.raises(InputError, match="29 features"):
        fit_layout(TABLE).place(TABLE[:, :29])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not is_installed("umap")
    with pytest.raises(ParameterError, match="UMAP is not installed") as refused:
        fit_layout(TABLE, "umap")
    assert "vitascope[embedding]" in refused.value.hint


def test_the_extra_is_imported_where_it_is_used():
    code = (
        "import sys, vitascope.stats.embedding.layout, vitascope.stats.embedding.clusters;"
        "import vitascope.batch.plate.embedding;"
        "print([name for name in ('umap', 'pacmap', 'sklearn', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
