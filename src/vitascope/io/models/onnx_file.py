"""Our own look through an ONNX file before any library opens it: what it holds, and whether it may be opened at all.

Libraries have died of crafted files (OpenVINO 2026.4.1 of a location of weights outside the file). What is refused here
never reaches them: weights in other files, anywhere; operators that are not in our table; sizes beyond what a network
for pictures has; and whatever could be read in two ways.

References
----------
ONNX, onnx.proto (field numbers) and Operators.md; version 1.18.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.core.errors import ModelError, describe
from vitascope.io.models.onnx_operators import OPERATORS
from vitascope.io.models.protobuf import BYTES, Field, fields, numbers, signed

MAX_FILE_BYTES = 2 << 30
"""What a file of protocol buffers can hold at most."""

MAX_NODES = 20_000
"""The largest networks for pictures at hand have some 2,000."""

MAX_DEPTH = 4
"""Subgraphs in subgraphs; exporters of torch write one."""

MAX_ELEMENTS = 1 << 29
"""Of one tensor: 2 GiB of float32, more than a file can hold."""

MAX_SIDE, MAX_RANK = 1 << 16, 8
"""Of declared inputs and outputs."""

OPSETS = range(7, 27)
"""Versions of the operators that OpenVINO reads; older ones mean other things by the same names."""

PLAIN_DOMAINS = ("", "ai.onnx")
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Bytes of an element, by the number of its type; other types (text, complex numbers, 8-bit floats) are refused."""

FLOATS = {1: "float32", 10: "float16", 11: "float64"}

ONE_FILE = (
    "Write it as one file: torch.onnx.export with external_data=False, or onnx.save(onnx.load(FILE), NEW) where both "
    "files lie."
)
AGAIN = "Ask whoever made it for a plain ONNX file; nothing was imported."


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Parameters
    ----------
    name : str
    element : int
        Number of its type, 1 for float32.
    sides : tuple of int or None
        Declared lengths; None where they are free.
    """

    name: str
    element: int
    sides: tuple[int | None, ...]


@dataclass
class OnnxSummary:
    """What an ONNX file holds, as far as it is needed to run it.

    Parameters
    ----------
    opset : int
    producer : str
    metadata : dict of str to str
    inputs, outputs : list of Port
        Without those that are constants.
    operators : dict of str to int
        How often each occurs.
    parameters : int
        Numbers among its constants.
    """

    opset: int = 0
    producer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    operators: dict[str, int] = field(default_factory=dict)
    parameters: int = 0

    @property
    def nodes(self) -> int:
        """How many operations it has, those of subgraphs included."""
        return sum(self.operators.values())


def read_onnx_bytes(path: Path) -> bytes:
    """Read a file that may be ONNX.

    Raises
    ------
    ModelError
        If it cannot be read or is too large.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path.name} is larger than 2 GiB.", "No ONNX file of one piece is.")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error


def check_onnx(data: bytes, name: str, *, own_operators: bool = False) -> OnnxSummary:
    """Look through the bytes of an ONNX file, opening nothing else and executing nothing.

    Parameters
    ----------
    data : bytes
    name : str
        Of the file, for messages.
    own_operators : bool
        Whether it may define operators of its own: where only its weights are wanted.

    Returns
    -------
    OnnxSummary

    Raises
    ------
    ModelError
        If it is damaged, has weights in other files, operators that are not in the table, or sizes beyond the limits.
    """
    look = _Look(name, own_operators=own_operators)
    try:
        look.model(memoryview(data))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no sound ONNX file: {describe(error)}.", AGAIN) from error
    return look.found


def tensor_size(dims: list[int], element: int, raw: int | None, listed: int) -> int:
    """Return how many numbers a tensor has, if it holds as many as it says.

    Parameters
    ----------
    dims : list of int
    element : int
        Number of its type.
    raw : int or None
        Bytes that it holds.
    listed : int
        Numbers that it lists instead.

    Raises
    ------
    ValueError
    """
    if element not in ITEM_BYTES:
        raise ValueError(f"a tensor is of a type ({element}) that no network for pictures needs")
    if len(dims) > MAX_RANK or any(n < 0 for n in dims) or (count := math.prod(dims)) > MAX_ELEMENTS:
        raise ValueError("a tensor is larger than any network's")
    if (raw is not None and (listed or raw != count * ITEM_BYTES[element])) or (raw is None and listed != count):
        raise ValueError("a tensor does not hold as many numbers as it says")
    return count


class _Look:
    """One walk through a file."""

    def __init__(self, name: str, *, own_operators: bool) -> None:
        self.name, self.found, self.own_operators = name, OnnxSummary(), own_operators

    def model(self, data: memoryview) -> None:
        """Walk through the whole file: graph, functions and what belongs to training alike."""
        graphs = 0
        for one in fields(data):
            graphs += one.number == 7
            self.part(one)
        if graphs != 1:
            raise ValueError(f"it has {graphs} graphs")
        if not self.found.nodes:
            raise ValueError("it has no graph")
        if self.found.opset not in OPSETS:
            raise ModelError(
                f"{self.name} is written for operators of version {self.found.opset}; {OPSETS[0]} to {OPSETS[-1]} are "
                "read.",
                "Export it again for version 17.",
            )

    def part(self, one: Field) -> None:
        """Walk through one part of the file."""
        if one.number == 2:
            self.found.producer = _text(one)[:200]
        elif one.number == 7:
            self.graph(_message(one), 0, top=True)
        elif one.number == 8:
            self.opset(_message(one))
        elif one.number == 14:
            key, value = _pair(_message(one))
            self.found.metadata[key] = value
        elif one.number == 20:
            for training in fields(_message(one)):
                if training.number in (1, 2):
                    self.graph(_message(training), 1)
        elif one.number == 25:
            if not self.own_operators:
                raise ModelError(
                    f"{self.name} defines operators of its own, which are not run here.",
                    "Export it again with its functions written out (onnx.inliner.inline_local_functions).",
                )
            self.function(_message(one))

    def function(self, data: memoryview) -> None:
        """Walk through an operator that the file defines: its nodes, and the values its attributes have by default."""
        for one in fields(data):
            if one.number == 7:
                self.node(_message(one), 1)
            elif one.number == 11:
                self.attribute(_message(one), 1)

    def opset(self, data: memoryview) -> None:
        """Take note of the version of the operators; none but ONNX's own are known."""
        domain, version = "", 0
        for one in fields(data):
            if one.number == 1:
                domain = _text(one)
            elif one.number == 2 and isinstance(one.value, int):
                version = signed(one.value)
        if domain in PLAIN_DOMAINS:
            if self.found.opset and self.found.opset != version:
                raise ValueError("it names two versions of its operators")
            self.found.opset = version

    def graph(self, data: memoryview, depth: int, *, top: bool = False) -> None:
        """Walk through a graph, and those inside it."""
        if depth > MAX_DEPTH:
            raise ValueError("graphs lie in graphs too deeply")
        inputs: list[Port] = []
        outputs: list[Port] = []
        constants: set[str] = set()
        for one in fields(data):
            if one.number == 1:
                self.node(_message(one), depth)
            elif one.number == 5:
                constants.add(self.tensor(_message(one)))
            elif one.number == 15:
                self.sparse(_message(one))
            elif one.number in (11, 12, 13):
                port = self.port(_message(one))
                if one.number != 13:
                    (inputs if one.number == 11 else outputs).append(port)
        if top:
            self.found.inputs = [port for port in inputs if port.name not in constants]
            self.found.outputs = outputs

    def node(self, data: memoryview, depth: int) -> None:
        """Check one operation."""
        operator = domain = ""
        for one in fields(data):
            if one.number == 4:
                operator = _text(one)
            elif one.number == 7:
                domain = _text(one)
            elif one.number == 5:
                self.attribute(_message(one), depth)
        if self.own_operators and domain not in PLAIN_DOMAINS:
            return
        if domain not in PLAIN_DOMAINS:
            raise ModelError(
                f"{self.name} uses '{operator[:60]}' of '{domain[:60]}', which is none of ONNX's own operators.",
                "Export it again without operators of other makers.",
            )
        if operator not in OPERATORS:
            raise ModelError(
                f"{self.name} uses the operator '{operator[:60]}', which networks for pictures do not need and which "
                "is not run here.",
                "Export the network alone, without steps that read text, loop or draw random numbers.",
            )
        self.found.operators[operator] = self.found.operators.get(operator, 0) + 1
        if self.found.nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} operations")

    def attribute(self, data: memoryview, depth: int) -> None:
        """Check what an attribute holds: tensors and graphs."""
        seen = set()
        for one in fields(data):
            if one.number in (5, 6, 22):  # of these there is one; two would be put together by other readers
                if one.number in seen:
                    raise ValueError("an attribute is given twice")
                seen.add(one.number)
            if one.number in (5, 10):
                self.tensor(_message(one))
            elif one.number in (6, 11):
                self.graph(_message(one), depth + 1)
            elif one.number in (22, 23):
                self.sparse(_message(one))

    def sparse(self, data: memoryview) -> None:
        """Check a sparse tensor."""
        for one in fields(data):
            if one.number in (1, 2):
                self.tensor(_message(one))

    def tensor(self, data: memoryview) -> str:
        """Check a tensor and return its name: what it says of its size is what it holds, and it holds it here."""
        dims: list[int] = []
        element, name, raw, listed = 0, "", None, 0
        for one in fields(data):
            if one.number == 13 or (one.number == 14 and one.value != 0):
                raise ModelError(
                    f"The weights of {self.name} lie in other files beside it, which are not opened.", ONE_FILE
                )
            if one.number == 3:
                raise ValueError("a tensor is given in segments")
            if one.number == 1:
                dims += [signed(n) for n in numbers(one)]
            elif one.number == 2 and isinstance(one.value, int):
                element = one.value
            elif one.number == 8:
                name = _text(one)
            elif one.number == 9:
                if raw is not None:
                    raise ValueError("a tensor is given twice")
                raw = len(_message(one))
            elif one.number in LISTS:
                listed += _count(one)
        self.found.parameters += tensor_size(dims, element, raw, listed)
        return name

    def port(self, data: memoryview) -> Port:
        """Read an input, an output, or what is said of a value on the way."""
        name, element = "", 0
        sides: tuple[int | None, ...] = ()
        for one in fields(data):
            if one.number == 1:
                name = _text(one)
            elif one.number == 2:
                element, sides = self.value_type(_message(one))
        return Port(name, element, sides)

    def value_type(self, data: memoryview) -> tuple[int, tuple[int | None, ...]]:
        """Read a type: that of a tensor's elements, and its sides."""
        element = 0
        sides: list[int | None] = []
        for one in fields(data):
            if one.number != 1:  # 6 is a denotation, the others sequences, maps and optional values
                continue
            for part in fields(_message(one)):
                if part.number == 1 and isinstance(part.value, int):
                    element = part.value
                elif part.number == 2:
                    sides = [self.side(_message(d)) for d in fields(_message(part)) if d.number == 1]
        if len(sides) > MAX_RANK:
            raise ValueError("a value has more axes than any picture")
        return element, tuple(sides)

    @staticmethod
    def side(data: memoryview) -> int | None:
        """Read one length; None where it is free."""
        length = None
        for one in fields(data):
            if one.number == 1 and isinstance(one.value, int):
                length = signed(one.value)
        if length is not None and length > MAX_SIDE * MAX_SIDE:
            raise ValueError("a value is declared larger than any picture")
        return length if length is not None and length > 0 else None


LISTS = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
"""Fields with the numbers of a tensor, and bytes of each (0: of any length)."""


def _count(one: Field) -> int:
    """Count the numbers of a field."""
    if isinstance(one.value, int):
        return 1
    size = LISTS[one.number]
    if size:
        if len(one.value) % size:
            raise ValueError("a tensor ends in the middle of a number")
        return len(one.value) // size
    return sum(1 for byte in bytes(one.value) if byte < 0x80)  # each number ends with the one byte that is below


def _message(one: Field) -> memoryview:
    if one.kind != BYTES or isinstance(one.value, int):
        raise ValueError("a part of it is of another kind than ONNX has")
    return one.value


def _text(one: Field) -> str:
    try:
        return bytes(_message(one)).decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name in it is no text") from error


def _pair(data: memoryview) -> tuple[str, str]:
    held = {one.number: _text(one) for one in fields(data) if one.number in (1, 2)}
    return held.get(1, ""), held.get(2, "")
