"""What a dose-response analysis gives: tables, and the curves behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as t_distribution

from vitascope.stats.response.logistic import HIGH, LOG_K, LOW, MIDPOINT, Floats, curve, jacobian, log_dose

CURVE_COLUMNS = (
    "quantity",
    "unit",
    "model",
    "n",
    "ic50",
    "ic50_low",
    "ic50_high",
    "ic50_unit",
    "relation",
    "ic50_absolute",
    "hill",
    "top",
    "bottom",
    "emax",
    "auc",
    "aac",
    "p_flat",
    "p_lack_of_fit",
    "quality",
    "reason",
    "interval_kind",
    "interval_level",
    "outside_wells",
    "flags",
)
POINT_COLUMNS = ("quantity", "image", "outside_model", "well", "dose", "dose_unit", "value", "normalised", "weight",
                 "excluded", "reason")  # fmt: skip
QUALITIES = ("good", "wide", "partial", "flat", "no fit")


@dataclass(frozen=True)
class CurveFit:
    """A fitted curve, for drawing and for further calculation.

    Parameters
    ----------
    parameters : array, shape (4,)
        Plateau at low doses, plateau at high doses, log k, log midpoint: see
        :mod:`vitascope.stats.response.logistic`.
    covariance : array, shape (4, 4)
        NaN where the data do not determine it.
    variance : float
        Residual variance of a point of weight one; NaN without freedom.
    freedom : int
        Points less free parameters.
    doses : tuple of float
        Lowest (above zero) and highest dose.
    dose_unit : str
    level : float, 0 to 1
        Of the bands.
    """

    parameters: Floats
    covariance: Floats
    variance: float
    freedom: int
    doses: tuple[float, float]
    dose_unit: str
    level: float = 0.95

    @property
    def midpoint(self) -> float:
        """Fitted midpoint in the unit of the doses, wherever it lies."""
        return float(np.exp(self.parameters[MIDPOINT]))

    @property
    def falls(self) -> bool:
        """Whether the response falls with the dose."""
        return bool(self.parameters[HIGH] < self.parameters[LOW])

    @property
    def hill(self) -> float:
        """Slope as in drc's LL.4: above zero where the curve falls, below where it rises."""
        slope = float(np.exp(self.parameters[LOG_K]))
        return slope if self.falls else -slope

    @property
    def log10_midpoint_error(self) -> float:
        """Standard error of log10 of the midpoint; NaN where it is not known."""
        variance = float(self.covariance[MIDPOINT, MIDPOINT])
        return math.sqrt(variance) / math.log(10) if variance > 0 else math.nan

    def band(self, doses: ArrayLike) -> pd.DataFrame:
        """Return the curve with its bands, by the delta method.

        Parameters
        ----------
        doses : array-like, >= 0, in the unit of the fit

        Returns
        -------
        DataFrame
            ``dose``, ``fitted``, ``low`` and ``high`` (the curve lies there), ``new_low`` and ``new_high`` (a new
            point of weight one lies there).
        """
        at = np.asarray(doses, np.float64).ravel()
        fitted, slopes = jacobian(log_dose(at)[None], self.parameters[None])
        spread = np.einsum("ni,ij,nj->n", slopes[0], self.covariance, slopes[0])
        quantile = t_distribution.ppf((1 + self.level) / 2, max(self.freedom, 1))
        error = quantile * np.sqrt(np.maximum(spread, 0))
        new = quantile * np.sqrt(np.maximum(spread, 0) + self.variance)
        return pd.DataFrame(
            {
                "dose": at,
                "fitted": fitted[0],
                "low": fitted[0] - error,
                "high": fitted[0] + error,
                "new_low": fitted[0] - new,
                "new_high": fitted[0] + new,
            }
        )

    def predict(self, doses: ArrayLike) -> Floats:
        """Fitted response at doses >= 0."""
        at = np.asarray(doses, np.float64).ravel()
        return np.asarray(curve(log_dose(at)[None], self.parameters[None])[0])


@dataclass(frozen=True)
class ResponseResult:
    """Curves of a table.

    Parameters
    ----------
    curves : DataFrame, one row for each treatment, plate and quantity
        The columns that tell curves apart, then :data:`CURVE_COLUMNS`. ``top`` and ``bottom`` are the upper and lower
        plateau, ``hill`` is above zero for falling curves, ``emax`` the fitted response at the top dose, ``auc`` the
        mean of the curve over the log doses tested, as a share of the control where there is one, and ``aac`` one less
        that. ``ic50`` with relation ``>`` or ``<`` is a dose that was tested, and a bound.
    points : DataFrame, one row for each well and quantity
        The columns that tell curves apart, then :data:`POINT_COLUMNS`; its index is that of the table.
    effective_doses : DataFrame
        The columns that tell curves apart, ``quantity, percent, dose, dose_low, dose_high, dose_unit, relation``: doses
        of 10 to 90 % of the way between the plateaus, intervals by the delta method.
    fits : tuple of CurveFit or None
        For each row of ``curves``; None where there is no fit.
    by : tuple of str
        Columns that tell curves apart.
    plates : DataFrame, one row for each plate (day, time) and quantity
        Z', and whether edge, rows and columns matter; see :func:`vitascope.stats.response.position.judge_blocks`.
    """

    curves: pd.DataFrame
    points: pd.DataFrame
    effective_doses: pd.DataFrame
    fits: tuple[CurveFit | None, ...] = field(repr=False)
    by: tuple[str, ...] = ()
    plates: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
