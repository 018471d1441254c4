import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from vitascope.ops.objects.regions import Regions, perimeters_px


def blobs(seed=0, shape=(90, 110)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    labels, _ = ndimage.label(noise > np.quantile(noise, 0.6))
    return labels


def pixels_in_hull(points):
    """Count grid points in or on the convex hull of grid points, by testing every one against every edge."""
    points = sorted(set(map(tuple, points)))

    def half(ordered):
        chain = []
        for p in ordered:
            while len(chain) > 1:
                (ay, ax), (by, bx) = chain[-2:]
                if (bx - ax) * (p[0] - ay) - (by - ay) * (p[1] - ax) < 0:
                    break
                chain.pop()
            chain.append(p)
        return chain[:-1]

    hull = half(points) + half(points[::-1])
    if len(hull) < 3:
        (ay, ax), (by, bx) = points[0], points[-1]
        return math.gcd(by - ay, abs(bx - ax)) + 1
    ys, xs = zip(*points, strict=True)
    count = 0
    for y in range(min(ys), max(ys) + 1):
        for x in range(min(xs), max(xs) + 1):
            sides = [
                (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                for (ay, ax), (by, bx) in zip(hull, hull[1:] + hull[:1], strict=True)
            ]
            count += all(s >= 0 for s in sides) or all(s <= 0 for s in sides)
    return count


@pytest.mark.parametrize("seed", range(3))
def test_shapes_agree_with_skimage(seed):
    labels = blobs(seed)
    regions = Regions.of(labels)
    expected = regionprops(labels)
    assert regions.labels.tolist() == [r.label for r in expected]
    assert regions.area_px.tolist() == [r.area for r in expected]
    assert np.stack(regions.centroid_yx_px, 1) == pytest.approx(np.array([r.centroid for r in expected]))
    major, minor = regions.axes_px()
    assert major == pytest.approx([r.axis_major_length for r in expected], abs=1e-6)
    assert minor == pytest.approx([r.axis_minor_length for r in expected], abs=1e-6)
    assert perimeters_px(labels, regions) == pytest.approx([r.perimeter for r in expected])
    sides = [max(r.bbox[2] - r.bbox[0], r.bbox[3] - r.bbox[1]) for r in expected]
    assert regions.extent_px.tolist() == sides


@pytest.mark.parametrize("seed", range(3))
def test_hull_counts_every_pixel_inside(seed):
    labels = blobs(seed, (40, 50))
    regions = Regions.of(labels)
    points = [np.argwhere(labels == label).tolist() for label in regions.labels]
    assert regions.hull_area_px().tolist() == [pixels_in_hull(p) for p in points]


@pytest.mark.parametrize(
    "picture",
    [[[1]], [[1, 1, 1]], [[1], [1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 1]], [[1, 0, 0], [0, 0, 0], [0, 1, 1]]],
)
def test_hull_of_small_and_broken_objects(picture):
    labels = np.array(picture)
    assert Regions.of(labels).hull_area_px().tolist() == [pixels_in_hull(np.argwhere(labels).tolist())]


def test_touching_labels_are_outlined_apart():
    labels = np.array([[5, 5, 2, 2], [5, 5, 2, 2], [5, 2, 2, 2]])
    expected = {r.label: r.perimeter for r in regionprops(labels)}
    regions = Regions.of(labels)
    assert dict(zip(regions.labels.tolist(), perimeters_px(labels, regions), strict=True)) == pytest.approx(expected)


def test_selection_and_order():
    labels = blobs(4)
    regions = Regions.of(labels)
    keep = regions.area_px > 20
    few = regions.select(keep)
    assert few.area_px.tolist() == regions.area_px[keep].tolist()
    assert few.hull_area_px().tolist() == regions.hull_area_px()[keep].tolist()
    turned = Regions.of(labels.max() + 1 - np.where(labels > 0, labels, labels.max() + 1)).sorted_by_place()
    straight = regions.sorted_by_place()
    assert turned.labels.tolist() == list(range(1, len(regions) + 1))
    assert np.array_equal(turned.y, straight.y)
    assert np.array_equal(turned.x, straight.x)
    firsts = list(zip(straight.y[straight.starts], straight.x[straight.starts], strict=True))
    assert firsts == sorted(firsts)


@pytest.mark.fault("E09")
def test_no_object():
    regions = Regions.of(np.zeros((4, 5), np.uint32))
    assert len(regions) == 0
    assert len(regions.hull_area_px()) == len(regions.extent_px) == len(regions.area_px) == 0
    assert len(perimeters_px(np.zeros((4, 5), np.uint32), regions)) == 0
    assert len(regions.sorted_by_place()) == len(regions.select(np.zeros(0, bool))) == 0
    assert [len(a) for a in regions.axes_px()] == [0, 0]
