"""ATP as a code: the bits of its bin and the fraction within it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import RangeError


def binary_code(atp: ArrayLike, bin_width: float, n_bits: int) -> NDArray[np.float64]:
    """Encode ATP as the bits of its bin and the fraction within it.

    Parameters
    ----------
    atp : array, shape (B,), float, >= 0, luminescence (RLU)
    bin_width : float, > 0, RLU
        Width R of one bin.
    n_bits : int, >= 1
        Bits of the integer part, most significant first; codes up to ``2**n_bits`` bins.

    Returns
    -------
    array, shape (B, n_bits + 1), float64, in [0, 1]
        Bits, then the fraction.

    Raises
    ------
    RangeError
        If a value is negative or no number, or needs more bits than ``n_bits``.

    References
    ----------
    Ins-ATP (seed 000), section 3.2.3.

    Examples
    --------
    >>> binary_code([239420.0], 20000, 4).round(3).tolist()
    [[1.0, 0.0, 1.0, 1.0, 0.971]]
    """
    values = np.asarray(atp, np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise RangeError("ATP is a number from 0 up.", "Leave out wells without a value.")
    bins = np.floor(values / bin_width)
    if bins.size and bins.max() >= 2**n_bits:
        raise RangeError(
            f"{values.max():g} needs more than {n_bits} bits in bins of {bin_width:g}.",
            f"Take {bits_needed(float(values.max()), bin_width)} bits or wider bins.",
        )
    powers = 2.0 ** np.arange(n_bits - 1, -1, -1)
    bits = np.floor(bins[:, None] / powers) % 2
    return np.concatenate([bits, (values / bin_width - bins)[:, None]], 1)


def atp_from_code(code: NDArray[np.floating], bin_width: float) -> NDArray[np.float64]:
    """Decode: the inverse of :func:`binary_code`; bits may be probabilities, which count by their value.

    Parameters
    ----------
    code : array, shape (B, n_bits + 1), in [0, 1]
    bin_width : float, > 0, RLU

    Returns
    -------
    array, shape (B,), float64, RLU

    Examples
    --------
    >>> atp_from_code(np.array([[1, 0, 1, 1, 0.971]]), 20000).tolist()
    [239420.0]
    """
    values = np.asarray(code, np.float64)
    powers = 2.0 ** np.arange(values.shape[1] - 2, -1, -1)
    return np.asarray((values[:, :-1] @ powers + values[:, -1]) * bin_width)


def bits_needed(atp_max: float, bin_width: float) -> int:
    """Return how many bits the bin of the largest value takes, at least one.

    Examples
    --------
    >>> bits_needed(239420, 20000), bits_needed(400000, 20000), bits_needed(1.2e9, 20000)
    (4, 5, 16)
    """
    return max(1, int(np.floor(atp_max / bin_width)).bit_length())


def round_top(atp_max: float) -> float:
    """Return the next number of two digits at or above a maximum: the top of a range.

    Examples
    --------
    >>> round_top(239420), round_top(66), round_top(1.2e9), round_top(1.21e9)
    (240000.0, 66.0, 1200000000.0, 1300000000.0)
    """
    if not np.isfinite(atp_max) or atp_max <= 0:
        raise RangeError("The largest ATP of the data set is not above 0.", "Check the column of values.")
    digits = int(np.floor(np.log10(atp_max))) - 1
    unit = 10.0**digits
    return float(f"{np.ceil(round(atp_max / unit, 9)) * unit:.12g}")
