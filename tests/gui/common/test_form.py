import re
from typing import Literal

import pytest
from pydantic import Field
from qtpy.QtWidgets import QLabel

from vitascope.core.errors import ParameterError
from vitascope.core.params import RunParams
from vitascope.gui.common.form import FieldEditor, ParamsForm, parse_numbers
from vitascope.tasks.registry import TASKS
from vitascope.tasks.spheroid import SpheroidParams


class AllKinds(RunParams):
    count: int = Field(32, title="Count", description="A count.", ge=0, le=112, multiple_of=16)
    least: int = Field(3, title="Least", description="Another.", gt=2, lt=9)
    ratio: float = Field(0.15, title="Ratio", description="A ratio.", ge=0, le=10, json_schema_extra={"unit": "share"})
    tiny: float = Field(1e-5, title="Tiny", description="A small number.")
    size: float | None = Field(None, title="Size", description="A size.", gt=0)
    tile: int | None = Field(None, title="Tile", description="A tile.", ge=16)
    name: str | None = Field(None, title="Name", description="A name.")
    label: str = Field("a", title="Label", description="A label.")
    planes: tuple[int, ...] | None = Field(None, title="Planes", description="Planes.")
    pair: tuple[float, float] = Field((0.5, 2.0), title="Pair", description="Two numbers.")
    kind: Literal["one", "two"] = Field("one", title="Kind", description="A kind.")
    switch: bool = Field(True, title="Switch", description="A switch.", json_schema_extra={"advanced": True})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "size": 0.3225123,
            "tile": 512,
            "planes": (0, 2, 4),
            "name": "GFP",
            "kind": "two",
            "switch": False,
            "count": 48,
        },
        {
            "size": 1e-9,
            "tiny": 0.0,
            "ratio": 0.1 + 0.2,
            "planes": (3,),
            "pair": (1e-7, 12345.6789),
            "name": "0",
            "label": "",
        },
        {"size": 123456789.123, "name": "1-2", "least": 8, "tile": 16},
    ],
)
def test_every_value_survives_the_form(qtbot, values):
    params = AllKinds(**values)
    form = ParamsForm(AllKinds)
    qtbot.addWidget(form)
    form.setValue(params)
    assert form.value() == params


@pytest.mark.parametrize("spec", TASKS, ids=lambda s: s.name)
def test_every_field_of_every_task_survives_the_form(qtbot, spec):
    form = ParamsForm(spec.params)
    qtbot.addWidget(form)
    assert form.value() == spec.make_params()
    for name, field in spec.params.model_fields.items():
        for value in other_values(field):
            params = spec.make_params(**{name: value})
            form.setValue(params)
            assert form.value() == params, (name, value)
        form.setValue(spec.make_params())
        assert form.value() == spec.make_params(), name


def other_values(field):
    """Values a field may have besides its default, by its type and bounds."""
    text = str(field.annotation)
    if field.annotation is bool:
        return [not field.default]
    if "Literal" in text and "float" in text:  # a number, or a word for it
        words = re.findall(r"Literal\['(\w+)'\]", text)
        return [*((0.25, 0.875) if "lt=1" in text.lower() else (26.5, 1999.25)), *words]
    if "Literal" in text:
        return list(field.annotation.__args__)
    if "tuple[int" in text:
        return [(0,), (0, 2, 5), (3, 3)]
    if "tuple[float" in text:
        return [(0.5,), (1.0, 2.25, 30.0)]
    if "tuple[str" in text:
        return [("GFP",), ("GFP", "DNA")]
    if field.annotation is str or text == "str | None":
        return ["phase", "0"]
    bounds = {type(m).__name__: next(iter(vars(m).values()), None) for m in map(as_bound, field.metadata)}
    step = bounds.get("MultipleOf", 1)
    low = bounds.get("Ge", bounds.get("Gt", 0) + (step if "int" in text else 1e-3))
    high = bounds.get("Le", bounds.get("Lt", low + 100 * step) - (1e-3 if "Lt" in bounds else 0))
    if "int" in text:
        return [low, low + step, high]
    return [low, low + (high - low) * 0.3225123, high]


class _Bound:
    def __init__(self, value):
        self.value = value


def as_bound(rule):
    name, value = next((n, getattr(rule, n)) for n in ("ge", "gt", "le", "lt", "multiple_of") if hasattr(rule, n))
    return type(name.replace("_", " ").title().replace(" ", ""), (_Bound,), {})(value)


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("ratio", "many", "Ratio: 'many' cannot be used"),
        ("ratio", "11", "less than or equal to 10"),
        ("ratio", "", "Ratio"),
        ("size", "-1", "greater than 0"),
        ("planes", "0, x", "Planes: '0, x'"),
        ("tile", "2.5", "Tile"),
        ("pair", "1", "Pair"),
        ("tiny", "nan", "finite"),
    ],
)
def test_what_cannot_be_used_is_named_and_marked(qtbot, field, text, says):
    form = ParamsForm(AllKinds)
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.valueChanged):
        form.editors[field].widget.value = text
    with pytest.raises(ParameterError, match=says.replace("(", r"\(")):
        form.value()
    assert "border" in form.editors[field].native.styleSheet()
    form.setValue(AllKinds())
    assert "border" not in form.editors[field].native.styleSheet()


def test_a_decimal_comma_is_a_point(qtbot):
    form = ParamsForm(AllKinds)
    qtbot.addWidget(form)
    form.editors["ratio"].widget.value = "0,25"
    assert form.value().ratio == 0.25


def test_bounds_and_steps_of_whole_numbers_are_those_of_the_field():
    editor = FieldEditor("count", AllKinds.model_fields["count"])
    assert (editor.widget.min, editor.widget.max, editor.widget.step) == (0, 112, 16)
    editor = FieldEditor("least", AllKinds.model_fields["least"])
    assert (editor.widget.min, editor.widget.max) == (3, 8)


def test_labels_tooltips_and_units_come_from_the_field(qtbot):
    form = ParamsForm(AllKinds)
    qtbot.addWidget(form)
    for name, editor in form.editors.items():
        assert editor.native.toolTip() == AllKinds.model_fields[name].description
    assert form.editors["ratio"].label == "Ratio (share)"


def test_hidden_fields_keep_what_they_were_given(qtbot):
    form = ParamsForm(AllKinds, hidden=("name", "model"))
    qtbot.addWidget(form)
    assert not {"name", "model"} & set(form.editors)
    params = AllKinds(name="GFP", model="mine")
    form.setValue(params)
    assert form.value() == params


def test_advanced_fields_are_folded_away(qtbot):
    form = ParamsForm(AllKinds)
    qtbot.addWidget(form)
    form.show()
    assert not form.editors["switch"].native.isVisible()
    assert form.editors["ratio"].native.isVisible()
    form.fold.expand()
    qtbot.waitUntil(form.editors["switch"].native.isVisible)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("0, 2;4", (0, 2, 4)),
        ("[0, 2]", (0, 2)),
        ("-1, 2", (-1, 2)),
        ("1e-5,0.5", (1e-5, 0.5)),
        ("", ()),
    ],
)
def test_numbers_are_read_with_ranges(text, numbers):
    assert parse_numbers(text) == numbers


def test_a_slider_says_where_it_stands(qtbot):
    form = ParamsForm(SpheroidParams)
    qtbot.addWidget(form)
    readout = form.findChild(QLabel, "outline_percent_readout")
    assert readout.text() == "auto"
    form.editors["outline_percent"].widget.value = 30
    assert readout.text() == "30 %"
    form.setValue(SpheroidParams())
    assert readout.text() == "auto"


def test_a_slider_has_a_place_for_nothing(qtbot):
    form = ParamsForm(SpheroidParams)
    qtbot.addWidget(form)
    editor = form.editors["outline_percent"]
    assert form.value().outline_percent is None
    editor.widget.value = 30
    assert form.value().outline_percent == 30
    for value in (70, None):
        form.setValue(SpheroidParams(outline_percent=value))
        assert form.value().outline_percent == value
