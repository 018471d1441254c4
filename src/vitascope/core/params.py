"""Frozen parameters: each field carries the text that forms, help, schema and docs show."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from vitascope.core.errors import ParameterError

Precision = Literal["auto", "f32", "tf32", "bf16", "f16", "int8"]

MOST_TOLD = 5


class FormParams(BaseModel):
    """Parameters that a form can show: frozen, finite, and with errors a user can read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def make(cls, **values: Any) -> Any:
        """Build parameters from plain values, with an error a user can read.

        Raises
        ------
        ParameterError
            Naming each field that is unknown or out of bounds.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParameterError(describe_validation(error), f"Known: {', '.join(cls.model_fields)}.") from error

    def changed(self, **values: Any) -> Any:
        """Return a copy with some fields replaced, validated."""
        return type(self).make(**{**self.model_dump(), **values})


class RunParams(FormParams):
    """What every task takes: which model, and how to compute. ``auto`` is resolved before the run and recorded."""

    model: str = Field(
        "auto", title="Model", description="Which model to run; 'auto' takes the bundled one that fits the image."
    )
    device: str = Field(
        "auto",
        title="Device",
        description="Where to compute: auto, cpu, cuda, cuda:1 or mps.",
        json_schema_extra={"advanced": True},
    )
    precision: Precision = Field(
        "auto",
        title="Precision",
        description="Number format of the network: f32 is exact; tf32, bf16 and f16 are faster where the machine has "
        "them, int8 on processors where the model's card says how it rounds.",
        json_schema_extra={"advanced": True},
    )
    tile_px: int | None = Field(
        None,
        title="Tile",
        description="Side of the piece computed at once; empty measures what is fastest and fits memory. "
        "It never changes the result.",
        ge=256,
        le=8192,
        multiple_of=16,
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    batch: int | None = Field(
        None,
        title="Windows at once",
        description="Windows that a graphics card computes at once; empty takes as many as fit its memory. "
        "The processor takes one.",
        ge=1,
        le=1024,
        json_schema_extra={"advanced": True},
    )
    threads: int | None = Field(
        None,
        title="Threads",
        description="Processor threads to use; empty takes all cores.",
        ge=1,
        le=1024,
        json_schema_extra={"advanced": True},
    )
    retry_s: tuple[float, ...] = Field(
        (1, 3, 10, 30),
        title="Try again after",
        description="Waits before an image is read again whose drive or network share did not answer; empty for none.",
        max_length=20,
        json_schema_extra={"advanced": True, "unit": "s"},
    )

    @property
    def to_settle(self) -> bool:
        """Whether something is to be learnt from all images of a run before the first is run."""
        return False


def describe_validation(error: ValidationError) -> str:
    """Say in one sentence what pydantic found wrong: the first few faults, and how many more there are.

    Of a field that takes either of several kinds pydantic tells a fault for each kind; they are one.
    """
    faults: dict[str, list[str]] = {}
    for item in error.errors():
        name = ".".join(str(p) for p in item["loc"] if not _is_kind(p)) or "value"
        faults.setdefault(name, []).append(f"{item['msg'][0].lower()}{item['msg'][1:]}")
    parts = [f"{name}: {', or '.join(dict.fromkeys(said))}" for name, said in [*faults.items()][:MOST_TOLD]]
    more = len(faults) - len(parts)
    return "; ".join(parts) + (f"; and {more} more." if more else ".")


KINDS = {"bool", "float", "int", "str", "none", "constrained-float", "constrained-int", "constrained-str"}
"""What pydantic calls the kinds that a field may be of; choices and lists have brackets besides."""


def _is_kind(part: str | int) -> bool:
    """Tell whether a part of the place of a fault is a kind of value, and no name."""
    return isinstance(part, str) and (part in KINDS or "[" in part)


def field_extra(field: FieldInfo, key: str) -> Any:
    """Return a value of a field's ``json_schema_extra``, or None."""
    extra = field.json_schema_extra
    return extra.get(key) if isinstance(extra, dict) else None
