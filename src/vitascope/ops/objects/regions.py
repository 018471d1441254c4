"""Shape of every object of a labelled picture at once, without a loop over objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHIFTS_4 = ((-1, 0), (1, 0), (0, -1), (0, 1))
_SHIFTS_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True, eq=False)
class Regions:
    """Pixels of a labelled picture, object by object.

    Parameters
    ----------
    labels : array, shape (N,), int64, increasing
        Label values, none of them 0.
    starts : array, shape (N,), int64
        Where the pixels of each object begin.
    y, x : array, shape (pixels,), int64, px
        Pixels sorted by label, then by row, then by column.
    """

    labels: Ints
    starts: Ints
    y: Ints
    x: Ints

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Regions:
        """Gather the objects of a labelled picture, shape (Y, X), integer; 0 is background."""
        flat = np.flatnonzero(labels)
        values = labels.ravel()[flat]
        order = np.argsort(values, kind="stable")
        flat, values = flat[order], values[order]
        starts = np.flatnonzero(np.diff(values, prepend=0))
        y, x = np.divmod(flat, labels.shape[1])
        return cls(values[starts].astype(np.int64), starts.astype(np.int64), y, x)

    def select(self, keep: NDArray[np.bool_]) -> Regions:
        """Return only the objects where ``keep``, shape (N,), is true."""
        pixels = np.repeat(keep, self.area_px)
        area = self.area_px[keep]
        return Regions(self.labels[keep], np.cumsum(area) - area, self.y[pixels], self.x[pixels])

    def sorted_by_place(self) -> Regions:
        """Return the objects in the order of their first pixels, row by row, labelled 1…N."""
        first = np.lexsort((self.x[self.starts], self.y[self.starts])) if len(self) else self.starts
        area = self.area_px[first]
        starts = np.cumsum(area) - area
        pixels = np.arange(len(self.y)) - np.repeat(starts, area) + np.repeat(self.starts[first], area)
        return Regions(np.arange(1, len(self) + 1), starts, self.y[pixels], self.x[pixels])

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.labels)

    @property
    def area_px(self) -> Ints:
        """Pixels of each object, shape (N,)."""
        return np.diff(self.starts, append=len(self.y))

    @property
    def index(self) -> Ints:
        """Number of the object, from 0, that each pixel belongs to, shape (pixels,)."""
        return np.repeat(np.arange(len(self)), self.area_px)

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up a value per pixel within each object, shape (N,)."""
        return np.add.reduceat(values, self.starts) if len(self) else values[:0]

    @property
    def centroid_yx_px(self) -> tuple[Floats, Floats]:
        """Mean row and column of each object, px; the centre of the first pixel is 0."""
        return self.total(self.y) / self.area_px, self.total(self.x) / self.area_px

    @property
    def extent_px(self) -> Ints:
        """Longer side of each object's bounding box, px, shape (N,)."""
        if not len(self):
            return np.zeros(0, np.int64)
        sides = [np.maximum.reduceat(v, self.starts) - np.minimum.reduceat(v, self.starts) for v in (self.y, self.x)]
        return np.asarray(np.maximum(*sides) + 1, np.int64)

    def axes_px(self) -> tuple[Floats, Floats]:
        """Full axes of the ellipse with the same second moments, px.

        Returns
        -------
        tuple of array, shape (N,)
            Major and minor axis: four times the square roots of the eigenvalues of the covariance of the pixel centres.
        """
        # whole numbers from each object's first pixel on: the same digits wherever the object lies
        area = self.area_px
        dy, dx = (v - np.repeat(v[self.starts], area) for v in (self.y, self.x))
        sy, sx = self.total(dy), self.total(dx)
        yy = (area * self.total(dy * dy) - sy * sy) / area**2
        xx = (area * self.total(dx * dx) - sx * sx) / area**2
        xy = (area * self.total(dy * dx) - sy * sx) / area**2
        middle, radius = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
        return 4 * np.sqrt(middle + radius), 4 * np.sqrt(np.maximum(middle - radius, 0))

    def hull_area_px(self) -> Ints:
        """Count the pixels whose centres lie in or on the convex hull of each object's pixel centres, shape (N,).

        By Pick's theorem: area of the hull + half the grid points on its outline + 1. Never less than ``area_px``.
        """
        row_start = np.flatnonzero(np.diff(self.index * (self.y.max(initial=0) + 1) + self.y, prepend=-1))
        row_stop = np.append(row_start, len(self.y))[1:] - 1
        owner, y = self.index[row_start], self.y[row_start]
        left, right = self.x[row_start], self.x[row_stop]
        left_area, left_points = _half_hull(owner, y, -left, len(self))
        right_area, right_points = _half_hull(owner, y, right, len(self))
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        last = np.append(first, len(owner))[1:] - 1
        ends = (right - left)[first] + (right - left)[last]
        return np.asarray((left_area + right_area + left_points + right_points + ends) // 2 + 1, np.int64)


def _half_hull(owner: Ints, y: Ints, out: Ints, objects: int) -> tuple[Ints, Ints]:
    """Follow the hull on one side of objects given by their outermost pixel of each row.

    A pixel that does not stick out of the line between its neighbours is no corner of the hull; those are dropped
    until none is left.

    Returns
    -------
    tuple of array, shape (N,), int64
        Twice the area between the chain of corners and ``out`` = 0, and the steps between grid points along it.
    """
    while True:
        inner = np.zeros(len(owner), bool)
        rise, run = np.diff(y), np.diff(out)
        turn = run[:-1] * (rise[:-1] + rise[1:]) - (run[:-1] + run[1:]) * rise[:-1]
        inner[1:-1] = (owner[:-2] == owner[2:]) & (turn <= 0)
        if not inner.any():
            break
        owner, y, out = owner[~inner], y[~inner], out[~inner]
    same = np.flatnonzero(owner[1:] == owner[:-1])
    area, steps = np.zeros(objects, np.int64), np.zeros(objects, np.int64)
    np.add.at(area, owner[same], rise[same] * (out[same] + out[same + 1]))
    np.add.at(steps, owner[same], np.gcd(rise[same], np.abs(run[same])))
    return area, steps


def perimeters_px(labels: NDArray[Any], regions: Regions) -> Floats:
    """Length of each object's outline, px, by the estimator of Benkrid and Crookes.

    Border pixels (those with a side on another object, the background or the picture's edge) count 1 between two
    straight neighbours, sqrt(2) between two diagonal ones, half of each between one of each: what
    ``skimage.measure.perimeter`` returns for each object alone.

    Parameters
    ----------
    labels : array, shape (Y, X), integer
    regions : Regions
        Of ``labels``, or some of its objects.

    Returns
    -------
    array, shape (N,), float64, px
        0 for a single pixel.
    """
    width = labels.shape[1] + 2
    padded = np.pad(labels, 1).ravel()
    place = (regions.y + 1) * width + regions.x + 1
    own = padded[place]
    on_border = np.zeros(len(place), bool)
    for dy, dx in _SHIFTS_4:
        on_border |= padded[place + dy * width + dx] != own
    border = np.zeros(padded.size, bool)
    border[place[on_border]] = True
    place, own, owner = place[on_border], own[on_border], regions.index[on_border]
    code = np.ones(len(place), np.intp)
    for shifts, weight in ((_SHIFTS_4, 2), (_SHIFTS_DIAGONAL, 10)):
        for dy, dx in shifts:
            there = place + dy * width + dx
            code += weight * (border[there] & (padded[there] == own))
    return np.asarray(np.bincount(owner, _PERIMETER_WEIGHTS[code], minlength=len(regions)), np.float64)


def _perimeter_weights() -> Floats:
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = np.sqrt(2)
    weights[[13, 23]] = (1 + np.sqrt(2)) / 2
    return weights


_PERIMETER_WEIGHTS = _perimeter_weights()
