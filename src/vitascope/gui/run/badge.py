"""The badge that says how far to trust: above the run for the image, beside the number for the answer."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from vitascope.core.result import Trust
from vitascope.gui.common.trust import LOOKS

PAST_STYLE = "background: transparent; color: #808080; border: 1px solid #808080;"
"""Of the badge of an answer to another question than the one that is asked now."""


class Badge(QLabel):  # type: ignore[misc]
    """Shows how far to trust: a sign and a word; the reasons on hover."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.trust = Trust()

    def show_trust(self, trust: Trust) -> None:
        """Show a judgement."""
        look = LOOKS[trust.level]
        self.trust = trust
        self.setText(f"{look.sign}  {look.words}")
        self.setStyleSheet(
            f"QLabel {{ background: {look.colour}; color: white; font-weight: 600; border-radius: 4px;"
            f" padding: 2px 8px; }} QLabel:disabled {{ {PAST_STYLE} }}"
        )
        self.setToolTip(" ".join(trust.reasons))
        self.setAccessibleName(f"{look.words}. {' '.join(trust.reasons)}")
