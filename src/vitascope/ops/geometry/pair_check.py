"""What is wrong with an image and its truth, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.ops.geometry.registration import estimate_shift

SHIFT_WARNED_PX = 5.0
SATURATED_WARNED = 0.01
NOT_FINITE_REFUSED = 0.1
FEW_VALUES = 3


@dataclass(frozen=True)
class CheckProblem:
    """Something that is wrong with a pair.

    Parameters
    ----------
    level : {"refused", "warning"}
        Whether it can be trained on all the same.
    text : str
        One sentence, with numbers.
    """

    level: Literal["refused", "warning"]
    text: str


def check_pair(
    planes: Sequence[NDArray[Any]],
    targets: Mapping[str, NDArray[Any]],
    painted: NDArray[Any] | None = None,
    classes: Sequence[str] = (),
    *,
    one_class: bool = False,
) -> list[CheckProblem]:
    """List what is wrong with an image and its truth.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        Of the image.
    targets : mapping of str to array, each (Y, X)
        Stains by name.
    painted : array, shape (Y, X), integer, optional
        Labels: 0 is not painted, k the k-th class.
    classes : sequence of str
        Names of the painted classes.
    one_class : bool
        Whether an image may show one class only, as where others show the others.
    """
    found = [p for number, plane in enumerate(planes) for p in _check_plane(plane, _plane_name(planes, number))]
    shape = planes[0].shape
    for name, stain in targets.items():
        if stain.shape != shape:
            found.append(CheckProblem("refused", f"'{name}' is {_sides(stain)} px, the image {_sides(planes[0])} px."))
            continue
        found += _check_stain(stain, name)
        if not any(p.level == "refused" for p in found):
            found += _check_shift(planes[len(planes) // 2], stain, name)
    if painted is not None:
        found += _check_painted(painted, shape, classes, one_class)
    return found


def _plane_name(planes: Sequence[Any], number: int) -> str:
    return "the image" if len(planes) == 1 else f"plane {number} of the image"


def _sides(picture: NDArray[Any]) -> str:
    return " x ".join(str(n) for n in picture.shape)


def _check_plane(plane: NDArray[Any], name: str) -> list[CheckProblem]:
    finite = np.isfinite(plane)
    missing = 1 - float(finite.mean()) if finite.size else 1.0
    if missing > NOT_FINITE_REFUSED:
        return [CheckProblem("refused", f"{missing:.0%} of the pixels of {name} are no numbers.")]
    values = plane[finite]
    if values.min() == values.max():
        return [CheckProblem("refused", f"All pixels of {name} are {values.min():g}: it is empty.")]
    found = []
    if missing:
        found.append(CheckProblem("warning", f"{missing:.1%} of the pixels of {name} are no numbers."))
    if (share := _saturated(values)) > SATURATED_WARNED:
        found.append(CheckProblem("warning", f"{share:.1%} of the pixels of {name} are saturated."))
    return found


def _check_stain(stain: NDArray[Any], name: str) -> list[CheckProblem]:
    if not np.isfinite(stain).all():
        return [CheckProblem("refused", f"'{name}' holds pixels that are no numbers.")]
    if stain.min() == stain.max():
        return [CheckProblem("refused", f"All pixels of '{name}' are {stain.min():g}: there is nothing to learn.")]
    found = []
    if len(np.unique(stain[:: max(1, stain.shape[0] // 256)])) <= FEW_VALUES:
        found.append(
            CheckProblem("warning", f"'{name}' has hardly any grey values: it looks like a mask, not a stain.")
        )
    elif (share := _saturated(stain.ravel())) > SATURATED_WARNED:
        found.append(CheckProblem("warning", f"{share:.1%} of the pixels of '{name}' are saturated."))
    return found


def _saturated(values: NDArray[Any]) -> float:
    """Return the share of pixels at the very top, where more than a few are."""
    return float((values == values.max()).mean())


def _check_shift(plane: NDArray[Any], stain: NDArray[Any], name: str) -> list[CheckProblem]:
    shift = estimate_shift(plane, stain)
    if not shift.sure or shift.length_px <= SHIFT_WARNED_PX:
        return []
    return [
        CheckProblem(
            "warning",
            f"'{name}' seems to lie {shift.length_px:.1f} px beside the image (y {-shift.y_px:+.1f}, "
            f"x {-shift.x_px:+.1f}): register them first.",
        )
    ]


def _check_painted(
    painted: NDArray[Any], shape: tuple[int, ...], classes: Sequence[str], one_class: bool
) -> list[CheckProblem]:
    if painted.shape != shape:
        return [
            CheckProblem("refused", f"The labels are {_sides(painted)} px, the image {' x '.join(map(str, shape))} px.")
        ]
    if painted.dtype.kind not in "biu":
        return [CheckProblem("refused", f"The labels are of type {painted.dtype}; whole numbers are wanted.")]
    ids = painted_ids([painted])
    beyond = [i for i in ids if not 0 < i <= len(classes)]
    if beyond and (beyond[0] < 0 or len(ids) > len(classes)):
        meaning = ", ".join(f"{k} {name}" for k, name in enumerate(classes, 1))
        return [
            CheckProblem(
                "refused", f"The labels hold {', '.join(map(str, beyond[:5]))}; they mean {meaning}, 0 nothing."
            )
        ]
    if beyond and (one_class or len(ids) > 1):
        return [CheckProblem("warning", words_of_ids(ids, classes))]
    counts = count_classes(painted, classes) if not beyond else {f"id {ids[0]}": int((painted == ids[0]).sum())}
    if not any(counts.values()):
        return [CheckProblem("refused", "Nothing is painted: all labels are 0.")]
    if sum(n > 0 for n in counts.values()) < 2 and not one_class:
        told = ", ".join(f"{n:,} px of {name}" for name, n in counts.items())
        return [CheckProblem("refused", f"Only one class is painted ({told}): there is nothing to tell apart.")]
    return []


def count_classes(painted: NDArray[Any], classes: Sequence[str]) -> dict[str, int]:
    """Count the pixels of each painted class.

    Examples
    --------
    >>> count_classes(np.array([[0, 1], [2, 2]]), ("background", "nuclei"))
    {'background': 1, 'nuclei': 2}
    """
    return {name: int((painted == k).sum()) for k, name in enumerate(classes, 1)}


def painted_ids(painted: Iterable[NDArray[Any]]) -> list[int]:
    """List the ids that occur in Labels layers, in order; 0 is not painted.

    Examples
    --------
    >>> painted_ids([np.array([[0, 7], [7, 1]]), np.array([[200]])])
    [1, 7, 200]
    """
    return sorted({int(v) for labels in painted for v in np.unique(labels)} - {0})


def words_of_ids(ids: Sequence[int], classes: Sequence[str]) -> str:
    """Say how ids that are not 1, 2, 3 … are understood.

    Examples
    --------
    >>> words_of_ids([1, 7, 200], ("background", "live", "dead"))
    'The painted ids are counted off in their order: 1 background, 7 live, 200 dead.'
    >>> words_of_ids([7, 200], ("background", "live", "dead"))
    'The painted ids 7, 200 of all pairs together are counted off in their order as background, live, dead.'
    """
    if len(ids) == len(classes):
        told = ", ".join(f"{i} {name}" for i, name in zip(ids, classes, strict=True))
        return f"The painted ids are counted off in their order: {told}."
    told = ", ".join(map(str, ids))
    return f"The painted ids {told} of all pairs together are counted off in their order as {', '.join(classes)}."


def renumber(painted: NDArray[Any], ids: Sequence[int]) -> NDArray[np.uint8]:
    """Give ids their place in a list, 1 for the first; 0 stays.

    Examples
    --------
    >>> renumber(np.array([[0, 7], [200, 1]]), [1, 7, 200])
    array([[0, 2],
           [3, 1]], dtype=uint8)
    """
    found = np.zeros(painted.shape, np.uint8)
    for place, value in enumerate(ids, 1):
        found[painted == value] = place
    return found


def refuse(image: str, problems: Iterable[CheckProblem]) -> None:
    """Refuse an image of a recipe that cannot be trained on.

    Raises
    ------
    InputError
        With the first problem that is refused.
    """
    first = next((p.text for p in problems if p.level == "refused"), None)
    if first:
        raise InputError(f"{image} cannot be trained on: {first}", "Remove it from the recipe, or put it right.")
