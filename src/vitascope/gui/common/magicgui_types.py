"""Our editors for other plugins: after :func:`register_params` magicgui edits parameter models by our form."""

from __future__ import annotations

from typing import Any

from magicgui import register_type
from magicgui.types import Undefined
from magicgui.widgets.bases import ValuedContainerWidget

from vitascope.core.params import FormParams
from vitascope.gui.common.form import ParamsForm
from vitascope.tasks.registry import TASKS


class ParamsWidget(ValuedContainerWidget[FormParams]):  # type: ignore[misc]
    """A :class:`~vitascope.gui.common.form.ParamsForm` as a magicgui widget.

    Parameters
    ----------
    params : type of FormParams
    value : FormParams, optional
        What it shows at first; by default the model's defaults.
    **how
        As magicgui's widgets take them.
    """

    def __init__(self, params: type[FormParams], value: Any = Undefined, **how: Any) -> None:
        self._form = ParamsForm(params)
        super().__init__(value=value, **how)
        self.native.layout().addWidget(self._form)
        self._form.valueChanged.connect(self._tell)

    def _tell(self) -> None:
        self.changed.emit(self)

    def get_value(self) -> FormParams:
        """Return the parameters.

        Raises
        ------
        ParameterError
            Naming what cannot be used.
        """
        return self._form.value()

    def set_value(self, value: FormParams) -> None:
        """Show parameters."""
        self._form.setValue(value)


def register_params(*kinds: type[FormParams]) -> None:
    """Let magicgui edit parameter models by our form.

    magicgui reads neither the defaults nor the bounds of pydantic's fields, and it rounds floats; our editors keep
    them. Importing this module registers nothing: a plugin that wants it calls this function once.

    Parameters
    ----------
    *kinds : type of FormParams
        By default the parameters of all tasks.

    Examples
    --------
    A function whose form has all parameters of the task ``stain``::

        from magicgui import magicgui
        from vitascope.gui.common.magicgui_types import register_params
        from vitascope.tasks.stain import StainParams

        register_params(StainParams)

        @magicgui
        def predict(image: "napari.layers.Image", params: StainParams): ...
    """
    for kind in kinds or tuple(spec.params for spec in TASKS):
        register_type(kind, widget_type=ParamsWidget, params=kind)
