"""What a card says of a network that is run as it is: which axis is which, and how pictures are cut for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

AXES = "bczyx"
"""Letters of axes: batch, channel, depth, height, width."""

MOST_SIDES = 1 << 16
Side = Annotated[int, Field(ge=1, le=MOST_SIDES)]


def check_axes(value: str) -> str:
    """Return axes that a graph can have: each once, height and width among them.

    Raises
    ------
    ValueError
    """
    if len(set(value)) < len(value) or not set(value) <= set(AXES) or not {"y", "x"} <= set(value):
        raise ValueError(f"the axes '{value}' must hold y and x, and each letter of {AXES} at most once")
    return value


class GraphPart(BaseModel):
    """A part of what is said of a graph: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class GraphOutput(GraphPart):
    """An answer of a graph that is a picture."""

    name: str = Field(description="Of the output in the file.")
    axes: str = Field(description="Its axes in order, letters of bczyx.")
    channels: int = Field(1, ge=1, le=256, description="Pictures in it; targets are those of all outputs in order.")
    centre: bool = Field(False, description="Whether its z is one plane, which belongs to the middle of those taken.")

    @field_validator("axes")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_axes(value)


class GraphSpec(GraphPart):
    """How a network of another program is run as it is.

    Lengths and reaches are of (z, y, x), in pixels of the network's grid; for networks of pictures z is 1.
    """

    opset: int = Field(description="Version of ONNX's operators.")
    input: str = Field(description="Name of the input in the file.")
    axes: str = Field(description="Axes of the input in order; z without c takes planes for channels.")
    outputs: tuple[GraphOutput, ...] = Field(min_length=1, description="Answers that are pictures.")
    dtype: str = Field("float32", pattern="^(float16|float32|float64)$", description="Type of the input.")
    sides: tuple[Side | None, Side | None, Side | None] = Field(
        (None, None, None), description="Lengths that the network is built for; empty where it takes any."
    )
    divisor: tuple[Side, Side, Side] = Field((1, 1, 1), description="What lengths must be multiples of.")
    step: tuple[Side, Side, Side] = Field(
        (1, 1, 1), description="Shifting the picture by so much shifts the answer by as much, and changes nothing else."
    )
    reach: tuple[int, int, int] | None = Field(
        None,
        description="How far an answer can see; empty where it sees the whole window: then tiles are blended.",
    )
    bytes_per_px: float = Field(0.0, ge=0, description="Memory that a window took when the network was tried.")

    @field_validator("axes")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_axes(value)

    @model_validator(mode="after")
    def _batch(self) -> GraphSpec:
        if self.reach is not None and min(self.reach) < 0:
            raise ValueError("a reach is 0 or more")
        return self

    @property
    def has_depth(self) -> bool:
        """Whether the network takes several planes at once."""
        return "z" in self.axes

    @property
    def gives_depth(self) -> bool:
        """Whether the network answers with as many planes as it takes."""
        return all("z" in output.axes and not output.centre for output in self.outputs)

    @property
    def channels(self) -> int:
        """Pictures that the network answers with."""
        return sum(output.channels for output in self.outputs)
