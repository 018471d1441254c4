"""How the number of a calibrated model is read: plain numbers in its card, nothing that executes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NUMBER = "number"
"""What a term is taken of: the start model's number, or a feature of the organoids by its name."""


class ReadoutPart(BaseModel):
    """A part of a readout: frozen, finite, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Term(ReadoutPart):
    """One summand: weight x ((value - middle) / spread), cut at ``limit``, to a power."""

    name: str = Field(description="'number' for the start model's, or a feature of the organoids.")
    weight: float = Field(description="In the unit of the calibrated number.")
    middle: float = Field(0.0, description="Of the wells it was fitted on; 0 for a line on the number.")
    spread: float = Field(1.0, gt=0, description="The same; a scale for a line on the number.")
    power: float = Field(1.0, gt=0, description="Of what lies above 0; 1 leaves the term straight.")
    limit: float | None = Field(None, gt=0, description="Steps that wells beyond those fitted on are cut at.")


class Readout(ReadoutPart):
    """Calibrated number = offset + sum of terms, never below 0."""

    method: Literal["line", "features", "blend"] = Field(
        description="A line or curve on the start model's number, classical features of the organoids, or both."
    )
    offset: float = Field(description="In the unit of the calibrated number.")
    terms: tuple[Term, ...] = Field(min_length=1)

    @property
    def wants_features(self) -> bool:
        """Whether organoids are measured for it."""
        return any(term.name != NUMBER for term in self.terms)
