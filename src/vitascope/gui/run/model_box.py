"""The second part of every dock: the model with its card, the device, and whether the image fits."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.card import Metric, ModelCard
from vitascope.core.hardware import unused_card
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.result import Trust
from vitascope.gui.common.layout import add_row, make_form, make_note, narrow
from vitascope.gui.common.runner import Launch
from vitascope.gui.run.badge import Badge
from vitascope.gui.run.device_box import AUTO, AUTOMATIC, DeviceBox
from vitascope.gui.run.servers import read_servers
from vitascope.io.models.cards import NO_MODELS, find_cards, read_card

ASK = "choose …"
AUTO_LINE = "Takes the bundled model that fits the image."
CHOOSE_LINE = "Choose the model by what is in your image."


class ModelBox(QWidget):  # type: ignore[misc]
    """Chooses a model and a device.

    Parameters
    ----------
    task : str
        Whose models are offered.
    unchosen : str
        What stands first: :data:`AUTOMATIC` leaves the choice to the image, :data:`ASK` asks for it; empty for neither.
    launch : Launch, optional
        Asks servers off the main thread; where it is not given, none are offered.
    no_server : str
        Why none are: said to those who have some.
    """

    valueChanged = Signal()  # noqa: N815, as Qt's editors are called

    def __init__(
        self,
        task: str,
        unchosen: str = AUTOMATIC,
        launch: Launch | None = None,
        no_server: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._task, self._unchosen, self._no_server = task, unchosen, no_server
        self._cards: dict[str, ModelCard] = {}
        self._used: ModelCard | None = None
        self.model, self.device = QComboBox(), DeviceBox(launch is not None)
        self._launch = launch
        self._there: list[dict[str, Any]] = []
        self.details = QPushButton("Details …")
        self.line, self.badge, self.reason = make_note(), Badge(), make_note()
        self.unused, self.no_server = make_note(), make_note()
        self._lay_out()
        self.hide_trust()
        self.unused.setText(unused_card())
        self.unused.setVisible(bool(self.unused.text()))
        self.reload()
        self.model.currentIndexChanged.connect(self._changed)
        self.device.deviceChanged.connect(self._device_changed)
        self.details.clicked.connect(self.show_details)

    def _lay_out(self) -> None:
        form = make_form()
        chooser = QWidget()
        across = QHBoxLayout(chooser)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(self.model, 1)
        across.addWidget(self.details)
        for box in (self.model, self.device):
            narrow(box)
        add_row(form, "Model", chooser, "Which model predicts.", self.model)
        tip = f"What computes; automatic takes the fastest there is. {self._no_server}".rstrip()
        add_row(form, "Device", self.device, tip)
        self.details.setToolTip("All that is known of the model: data, accuracy, licence, and when not to trust it.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.no_server)
        layout.addWidget(self.unused)
        layout.addWidget(self.line)
        layout.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.reason)

    def reload(self) -> None:
        """Look for models again, those of the user among them, and for servers; what is chosen stays."""
        self.device.reload()
        self.no_server.setText(self._no_server)
        self.no_server.setVisible(bool(self._no_server and read_servers()))
        before = self.model.currentData()
        paths = find_cards(self._task)
        self._cards = {id_: read_card(path) for id_, path in paths.items()}
        self.model.blockSignals(True)
        self.model.clear()
        if self._unchosen and any(path.parent == BUNDLED_MODELS for path in paths.values()):
            self.model.addItem(self._unchosen, AUTO)
        for id_, card in self._cards.items():
            self.model.addItem(id_, id_)
            self.model.setItemData(self.model.count() - 1, card.summary, Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(max(0, self.model.findData(before)) if self.model.count() else -1)
        self.model.blockSignals(False)
        self._changed()

    def _changed(self) -> None:
        self._used = None
        card = self.card()
        if card is not None:
            self.line.setText(card_line(card))
        else:
            line = AUTO_LINE if self._unchosen == AUTOMATIC else CHOOSE_LINE
            self.line.setText(line if self.model.count() else NO_MODELS)
        self.details.setEnabled(card is not None)
        self.valueChanged.emit()

    def card(self) -> ModelCard | None:
        """Return the card of the chosen model; None for automatic."""
        return self._cards.get(self.model.currentData())

    def first(self) -> ModelCard | None:
        """Return the card of the first model that is offered; None where there is none."""
        return next(iter(self._cards.values()), None)

    def problem(self) -> str:
        """Say what keeps a run from starting; empty if nothing does."""
        if not self.model.count():
            return NO_MODELS
        if self._unchosen != AUTOMATIC and self.model.currentData() == AUTO:
            return CHOOSE_LINE
        server, card = self.device.server(), self.card()
        if server is None or card is None or not self._there:
            return ""
        return server.model_problem(card.id, card.weights.sha256, self._there)

    def _device_changed(self) -> None:
        """Ask a server that was chosen for its models; one that does not answer says so when it is run on."""
        server, launch, self._there = self.device.server(), self._launch, []
        self.valueChanged.emit()
        if server is None or launch is None:
            return

        def arrived(found: Any) -> None:
            if isinstance(found, list) and self.device.server() == server:
                self._there = found
                self.valueChanged.emit()

        launch(lambda: server.client().models(self._task), arrived)

    def card_of(self, id_: str) -> ModelCard | None:
        """Return the card of a model that is offered."""
        return self._cards.get(id_)

    def value(self) -> dict[str, Any]:
        """Return the parameters that are asked for here."""
        return {"model": self.model.currentData() or AUTO, "device": self.device.value()}

    def show_trust(self, trust: Trust) -> None:
        """Show whether the image fits, with the reasons in short."""
        self.badge.show_trust(trust)
        self.reason.setText(" ".join(trust.reasons))
        self.badge.show()
        self.reason.setVisible(bool(trust.reasons))

    def hide_trust(self) -> None:
        """Show no judgement, where there is nothing to judge."""
        self.badge.hide()
        self.reason.hide()

    def show_used(self, model: str) -> None:
        """Say which model a run took, where it was left open."""
        card = self.card_of(model)
        if card is not None and self.card() is None:
            self._used = card
            self.line.setText(f"{card.id}: {card_line(card)}")
            self.details.setEnabled(True)

    def show_details(self) -> None:
        """Open the whole card, of the chosen model or of the one that was taken, in a window of its own."""
        card = self.card() or self._used
        if card is not None:
            CardWindow(card, self).show()


class CardWindow(QDialog):  # type: ignore[misc]
    """Shows a model card."""

    def __init__(self, card: ModelCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model {card.id}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QTextBrowser()
        self.text.setOpenExternalLinks(True)
        self.text.setHtml(card_html(card))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(buttons)
        self.resize(560, 560)


def card_line(card: ModelCard) -> str:
    """Say in one line what a model was trained on and how good it is."""
    metric = next(iter(card.metrics), None)
    if metric is None or metric.name.split()[0] in card.summary:
        return card.summary
    return f"{card.summary.rstrip('.')}; {metric_text(metric)}."


def metric_text(metric: Metric) -> str:
    """Write a figure with its interval.

    Examples
    --------
    >>> metric_text(Metric(name="PCC", value=0.853, low=0.82, high=0.88, level=0.95, on="test rows"))
    'PCC 0.853 (0.820 to 0.880)'
    """
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f" ({_figure(metric.low)} to {_figure(metric.high)})"
    twin = ", of its twin" if metric.from_holdout_model else ""
    return f"{metric.name} {_figure(metric.value)}{f' {metric.unit}' if metric.unit else ''}{interval}{twin}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def card_html(card: ModelCard) -> str:
    """Write the whole card as a page; no text of it is taken for markup."""
    spec = card.input
    size = f"{spec.pixel_size_um:g} µm" if spec.pixel_size_um else spec.pixel_size_note or "not known"
    facts = [
        ("When not to trust it", card.limitations),
        ("Takes", f"{spec.modality}; {', '.join(spec.channels)}; {_count(spec.planes, 'plane')}; pixel size {size}"),
        ("Predicts", ", ".join(f"{t.name} ({t.unit})" for t in card.targets)),
        ("Accuracy", _listed(card.metrics, lambda m: f"{metric_text(m)}; on {m.on}{f', n = {m.n}' if m.n else ''}")),
        ("Split", card.split),
        ("Notes", "\n".join(map(str, card.training.get("notes", [])))),
        ("Trained on", _listed(card.data, lambda d: f"{d.name}: {d.description} {d.url} — {d.licence}, {d.credit}")),
        ("Licence", card.licence),
        ("Credit", card.credit),
        ("Network", f"{card.architecture.name}, {card.weights.parameters:,} parameters, {card.weights.dtype}"),
        ("8 bit", card.int8.text if card.int8 is not None else ""),
        ("Version", f"{card.version} {card.created}"),
        ("SHA-256", card.weights.sha256),
    ]
    rows = "".join(f"<p><b>{title}</b><br>{_safe(text)}</p>" for title, text in facts if text.strip())
    return f"<h3>{_safe(card.title)}</h3><p>{_safe(card.summary)}</p>{rows}"


def _listed(items: Sequence[Any], text: Callable[[Any], str]) -> str:
    return "\n".join(text(item) for item in items)


def _safe(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
