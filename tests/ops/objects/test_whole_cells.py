import numpy as np
import pytest
from scipy import ndimage

from vitascope.core.errors import InputError
from vitascope.ops.objects.whole_cells import at_border, cell_foreground, grow_cells, parents


def field(shape=(120, 160)):
    """Three round cells, two of them touching, with nuclei off their middles; the truth by the nearer centre."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    centres = [(40, 45), (40, 85), (95, 130)]
    distance = np.stack([np.hypot(y - a, x - b) for a, b in centres])
    truth = np.where(distance.min(0) < 24, distance.argmin(0) + 1, 0)
    nuclei = np.zeros(shape, int)
    for number, (a, b) in enumerate(centres, 1):
        nuclei[np.hypot(y - a - 3, x - b + 2) < 7] = number
    bodies = ndimage.gaussian_filter(np.exp(-((distance.min(0) / 18) ** 2)), 1)
    noise = np.random.default_rng(0).normal(0, 0.01, shape)
    return truth, nuclei, (bodies + noise).astype(np.float32)


def test_cells_of_known_bodies_are_found_by_overlap():
    truth, nuclei, picture = field()
    cells = grow_cells(nuclei, picture, cell_foreground(picture, 14))
    for number in (1, 2, 3):
        both, either = ((cells == number) & (truth == number)).sum(), ((cells == number) | (truth == number)).sum()
        assert both / either > 0.75
    assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all()


def test_the_foreground_is_the_cut_of_least_cross_entropy():
    _, _, picture = field()
    smooth = ndimage.gaussian_filter(picture, 0.04 * 14)
    cuts = np.linspace(0.05, 0.6, 200)

    def cross_entropy(cut):  # Li and Lee 1993, equation 7, of a picture moved above 0
        moved = smooth - smooth.min()
        low, high = moved[smooth <= cut], moved[smooth > cut]
        return -(low.sum() * np.log(low.mean()) + high.sum() * np.log(high.mean()))

    best = cuts[np.argmin([cross_entropy(c) for c in cuts])]
    assert cell_foreground(picture, 14).mean() == pytest.approx((smooth > best).mean(), abs=0.01)


def test_a_body_without_nucleus_is_ground_and_no_nucleus_is_no_cell():
    truth, nuclei, picture = field()
    nuclei[nuclei == 3] = 0
    cells = grow_cells(nuclei, picture, truth > 0)
    assert not cells[truth == 3].any()
    assert not grow_cells(np.zeros_like(nuclei), picture, truth > 0).any()
    assert not cell_foreground(np.full((20, 20), 3.0), 14).any()


def test_pixels_that_are_no_numbers_are_ground():
    _, nuclei, picture = field()
    picture[:10] = np.nan
    inside = cell_foreground(picture, 14)
    assert not inside[:8].any()
    assert inside[40, 45]
    assert grow_cells(nuclei, picture, inside).max() == 3


def test_other_sizes_are_refused():
    _, nuclei, picture = field()
    with pytest.raises(InputError, match="differ in size"):
        grow_cells(nuclei, picture[:-1], picture > 0)


def test_border_and_parents_by_counting():
    rng = np.random.default_rng(1)
    wholes = np.kron(rng.integers(0, 5, (6, 7)), np.ones((5, 5), int))
    parts = np.kron(rng.integers(0, 9, (10, 7)), np.ones((3, 5), int))
    expected = []
    for part in sorted(set(parts.ravel()) - {0}):
        counted = {w: int(((parts == part) & (wholes == w)).sum()) for w in range(1, 5)}
        most = max(counted.values())
        expected.append(min((w for w, n in counted.items() if n == most), default=0) if most else 0)
    assert parents(parts, wholes).tolist() == expected
    rim = {int(v) for y in range(30) for x in range(35) if y in (0, 29) or x in (0, 34) for v in [wholes[y, x]]} - {0}
    assert at_border(wholes).tolist() == sorted(rim)
