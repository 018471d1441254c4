"""Cells that someone boxed in a picture, as Pascal VOC files: where each kind of them lies."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ReaderError

SPREAD = 1 / 6
"""Standard deviation of a cell's place, in sides of its box: nearly all of it lies inside."""


class CellBox(NamedTuple):
    """A cell of one kind: its box in px of the picture, from the left or top edge of the first pixel.

    ``kind`` counts from 0.
    """

    kind: int
    left: float
    top: float
    right: float
    bottom: float


def read_cell_boxes(image: Path, kinds: tuple[str, ...]) -> list[CellBox]:
    """Read the boxes of a picture from the Pascal VOC file of its name, ``<stem>.xml``, beside it.

    Parameters
    ----------
    image : Path
    kinds : tuple of str
        Names of the boxes that count; those of other names are left out.

    Raises
    ------
    ReaderError
        If the file is not there.
    InputError
        If it is no such file.
    """
    path = image.with_suffix(".xml")
    if not path.is_file():
        raise ReaderError(f"{image.name} has no file of boxes, {path.name}.", "Put it beside the image.")
    found = []
    try:
        for one in ElementTree.parse(path).getroot().iter("object"):
            name = (one.findtext("name") or "").strip()
            ends = [float(one.findtext(f"bndbox/{end}") or "") for end in ("xmin", "ymin", "xmax", "ymax")]
            if name in kinds:
                found.append(CellBox(kinds.index(name), *ends))
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(
            f"The boxes in {path.name} cannot be read: {error}.", "Save them as Pascal VOC, with a 'bndbox' each."
        ) from error
    return found


def cells_map(boxes: list[CellBox], kinds: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Spread each cell over the middle of its box.

    Parameters
    ----------
    boxes : list of CellBox
    kinds : int
    shape : (int, int)
        Rows and columns of the picture.

    Returns
    -------
    array, shape (kinds, Y, X), float32
        Cells of each kind in a pixel: the sum is their number.

    References
    ----------
    Lempitsky and Zisserman 2010, "Learning to count objects in images", equation 1.
    """
    found = np.zeros((kinds, *shape), np.float32)
    for kind, left, top, right, bottom in boxes:
        along = []
        for low, high, length in ((top, bottom, shape[0]), (left, right, shape[1])):
            middle = np.clip((low + high) / 2, 0.5, length - 0.5)
            sigma = max((high - low) * SPREAD, 1.0)
            along.append(np.exp(-(((np.arange(length) + 0.5 - middle) / sigma) ** 2) / 2))
        spread = np.outer(*along)
        found[kind] += spread / spread.sum()
    return found
