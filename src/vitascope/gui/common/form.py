"""A form for frozen parameters: one editor for each field, made from what the field says of itself."""

from __future__ import annotations

import ast
from collections.abc import Collection
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vitascope.core.errors import ParameterError
from vitascope.core.params import FormParams, describe_validation, field_extra
from vitascope.gui.common.layout import Collapsible, add_row, make_form

LARGEST_INT = 2**31 - 1
WRONG_STYLE = "border: 1px solid #D55E00;"
NOTHING_SET = "auto"


class FieldEditor:
    """One field of a parameter model as a magicgui widget.

    Switches, choices and plain whole numbers get their own widgets; all else is a line of text, which keeps every digit
    and the difference between nothing and zero, as number boxes do not. A whole number that says ``slider`` has one,
    whose end on the left stands for nothing.

    Parameters
    ----------
    name : str
    field : FieldInfo
    """

    def __init__(self, name: str, field: FieldInfo) -> None:
        self.name, self.field = name, field
        self.kinds, self.optional = _kinds(field.annotation)
        bounded: Any = Annotated[field.annotation, name, *field.metadata]
        self._adapter: TypeAdapter[Any] = TypeAdapter(bounded, config=ConfigDict(allow_inf_nan=False))
        self.is_text = False
        self.widget: ValueWidget[Any] = self._make()
        self.native: QWidget = self.widget.native
        self.native.setToolTip(field.description or "")
        if self.is_text and self.optional:
            self.native.setPlaceholderText("automatic")

    @property
    def as_slider(self) -> bool:
        """Whether the field is a slider with a place for nothing."""
        return bool(field_extra(self.field, "slider"))

    def _make(self) -> ValueWidget[Any]:
        origin = get_origin(self.field.annotation)
        if origin is Literal:
            choices = [c for c in get_args(self.field.annotation)]
            return create_widget(widget_type="ComboBox", options={"choices": choices})
        if self.field.annotation is bool:
            return create_widget(annotation=bool, options={"text": self.field.title or self.name})
        if self.field.annotation is int:
            return create_widget(annotation=int, options=_int_options(self.field))
        if self.as_slider:
            bounds = _int_options(self.field)
            self._nothing = bounds["min"] - 1
            return create_widget(widget_type="Slider", options={**bounds, "min": self._nothing, "readout": False})
        self.is_text = True
        return create_widget(annotation=str, widget_type="LineEdit")

    @property
    def label(self) -> str:
        """Title of the field, with its unit."""
        unit = field_extra(self.field, "unit")
        title = self.field.title or self.name
        return f"{title} ({unit})" if unit else title

    def value(self) -> Any:
        """Return what the editor holds.

        Raises
        ------
        ParameterError
            If the text is no value of this field.
        """
        if self.as_slider:
            return None if self.widget.value == self._nothing else self.widget.value
        if not self.is_text:
            return self.widget.value
        try:
            return self._adapter.validate_python(self._parse(str(self.widget.value).strip()))
        except ValidationError as error:
            reason = describe_validation(error).removeprefix("value: ").replace("input should", "it should")
            title = self.field.title or self.name
            raise ParameterError(f"{title}: '{self.widget.value}' cannot be used, {reason}") from error

    def _parse(self, text: str) -> Any:
        if not text and self.optional:
            return None
        if str in self.kinds:
            return text
        if tuple in self.kinds:
            return parse_numbers(text)
        return text.replace(",", ".") if float in self.kinds else text

    def setValue(self, value: Any) -> None:  # noqa: N802, as Qt's editors are called
        """Show a value."""
        if self.as_slider:
            self.widget.value = self._nothing if value is None else value
        elif not self.is_text:
            self.widget.value = value
        elif value is None:
            self.widget.value = ""
        elif isinstance(value, tuple):
            self.widget.value = ", ".join(repr(v) for v in value)
        else:
            self.widget.value = value if isinstance(value, str) else repr(value)

    def show_wrong(self, wrong: bool) -> None:
        """Draw a border around a value that cannot be used."""
        self.native.setStyleSheet(WRONG_STYLE if wrong else "")


def _kinds(annotation: Any) -> tuple[set[Any], bool]:
    """Return the plain types of an annotation, and whether None is one of them."""
    parts = [annotation] if get_origin(annotation) in (None, tuple, Literal) else list(get_args(annotation))
    parts = [get_args(p)[0] if get_origin(p) is Annotated else p for p in parts]
    kinds = {get_origin(p) or p for p in parts if p is not NoneType}
    return kinds, NoneType in parts


def _int_options(field: FieldInfo) -> dict[str, int]:
    options = {"min": -LARGEST_INT, "max": LARGEST_INT}
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge(ge=low):
                options["min"] = int(low)  # type: ignore[call-overload]
            case annotated_types.Gt(gt=low):
                options["min"] = int(low) + 1  # type: ignore[call-overload]
            case annotated_types.Le(le=high):
                options["max"] = int(high)  # type: ignore[call-overload]
            case annotated_types.Lt(lt=high):
                options["max"] = int(high) - 1  # type: ignore[call-overload]
            case annotated_types.MultipleOf(multiple_of=step):
                options["step"] = int(step)  # type: ignore[call-overload]
    return options


def parse_numbers(text: str) -> tuple[Any, ...]:
    """Read a list of numbers, with ranges of whole ones; text that is no number stays text, to be refused by name.

    Examples
    --------
    >>> parse_numbers("0-2, 6")
    (0, 1, 2, 6)
    """
    found: list[Any] = []
    for part in text.strip("()[] ").replace(";", ",").split(","):
        low, dash, high = (p.strip() for p in part.partition("-"))
        if dash and low.isdigit() and high.isdigit() and int(high) - int(low) < 100_000:
            found += range(int(low), int(high) + 1)
        elif part.strip():
            found.append(_number(part.strip()))
    return tuple(found)


def _number(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class ParamsForm(QWidget):  # type: ignore[misc]
    """Edits one frozen parameter model; fields marked ``advanced`` are folded away.

    Parameters
    ----------
    params : type of FormParams
    hidden : collection of str
        Fields that are shown elsewhere; they keep what :meth:`setValue` gave them.
    """

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(self, params: type[FormParams], hidden: Collection[str] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = params
        self._hidden: dict[str, Any] = {name: params.model_fields[name].default for name in hidden}
        self.editors = {n: FieldEditor(n, f) for n, f in params.model_fields.items() if n not in hidden}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        plain = [e for e in self.editors.values() if not field_extra(e.field, "advanced")]
        advanced = [e for e in self.editors.values() if field_extra(e.field, "advanced")]
        self._forms = (_rows(plain), _rows(advanced))
        layout.addLayout(self._forms[0])
        self.fold = Collapsible("More settings", self._forms[1])
        self.fold.setVisible(bool(advanced))
        layout.addWidget(self.fold)
        self.setValue(params.make())
        for editor in self.editors.values():
            editor.widget.changed.connect(self._changed)

    def _changed(self) -> None:
        for editor in self.editors.values():
            try:
                editor.value()
            except ParameterError:
                editor.show_wrong(True)
            else:
                editor.show_wrong(False)
        self.valueChanged.emit()

    def show_units(self, unit: str, shown: bool, but: Collection[str] = ()) -> None:
        """Show or hide the fields of a unit and its powers; hidden ones are at their defaults.

        Parameters
        ----------
        unit : str
            Such as ``µm``, for ``µm³`` too.
        shown : bool
        but : collection of str
            Fields that stay.
        """
        for name, editor in self.editors.items():
            if name in but or not str(field_extra(editor.field, "unit") or "").startswith(unit):
                continue
            form = next(f for f in self._forms if f.indexOf(editor.native) >= 0)
            form.setRowVisible(editor.native, shown)
            if not shown and editor.native.isHidden():
                editor.setValue(editor.field.default)

    def value(self) -> FormParams:
        """Return the parameters.

        Raises
        ------
        ParameterError
            Naming what cannot be used.
        """
        values = {name: editor.value() for name, editor in self.editors.items()}
        params: FormParams = self._model.make(**self._hidden, **values)
        return params

    def setValue(self, params: FormParams) -> None:  # noqa: N802, as Qt's editors are called
        """Show parameters."""
        for name in self._hidden:
            self._hidden[name] = getattr(params, name)
        for name, editor in self.editors.items():
            editor.setValue(getattr(params, name))


def _rows(editors: list[FieldEditor]) -> QFormLayout:
    form = make_form()
    for editor in editors:
        if editor.field.annotation is bool:
            form.addRow(editor.native)
        elif editor.as_slider:
            add_row(form, editor.label, _with_readout(editor), editor.field.description or "", editor.native)
        else:
            add_row(form, editor.label, editor.native, editor.field.description or "")
    return form


def _with_readout(editor: FieldEditor) -> QWidget:
    """Put the number that a slider stands at beside it."""
    row, readout = QWidget(), QLabel()
    across = QHBoxLayout(row)
    across.setContentsMargins(0, 0, 0, 0)
    across.addWidget(editor.native, 1)
    across.addWidget(readout)
    readout.setObjectName(f"{editor.name}_readout")

    def show(*_: object) -> None:
        value, unit = editor.value(), field_extra(editor.field, "unit")
        readout.setText(NOTHING_SET if value is None else f"{value} {unit or ''}".rstrip())

    readout.setMinimumWidth(readout.fontMetrics().horizontalAdvance("100 %"))  # the slider keeps its length
    editor.widget.changed.connect(show)
    show()
    return row
