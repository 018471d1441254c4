"""What is asked of a server: its address and a token; "Test" tells whether it answers."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.gui.common.runner import Launch, RunOutcome, in_background
from vitascope.gui.run.servers import Server, ask_server, forget_server, keep_server, outcome_text, read_servers

ABOUT = (
    "A server runs 'vitascope serve'. The image is sent there, and the result comes back. Address and token are "
    "kept on this machine in a file that you alone can read. Over http the token travels as it is: prefer https."
)
WIDTH_PX = 420


class ServerQuestion(QDialog):  # type: ignore[misc]
    """Asks for a server, and keeps it.

    Parameters
    ----------
    server : Server, optional
        That is filled in.
    launch : Launch
        Tests off the main thread.
    """

    answered = Signal(str)
    """Address of the server that was kept."""

    forgotten = Signal()
    """The server that stood in the form is kept no longer."""

    def __init__(
        self, server: Server | None = None, parent: QWidget | None = None, launch: Launch = in_background
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run on a server")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._launch = launch
        self.url, self.token, about, self.said = QLineEdit(), QLineEdit(), make_note(), make_note()
        self.url.setPlaceholderText("https://server:8765")
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText("where the server asks for one")
        if server is not None:
            self.url.setText(server.url)
            self.token.setText(server.token)
        about.setText(ABOUT)
        form = make_form()
        add_row(form, "Address", self.url, "Of the server, with its port.")
        add_row(form, "Token", self.token, "Whoever runs the server gives it out.")
        roles, kinds = QDialogButtonBox.ButtonRole, QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.test = self.buttons.addButton("Test", roles.ActionRole)
        self.forget = self.buttons.addButton("Forget", roles.ActionRole)
        self.forget.setToolTip("Keep this server no longer, nor its token.")
        self.test.setToolTip("Ask the server whether it answers.")
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for part in (about, self.said, self.buttons):
            layout.addWidget(part)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.test.clicked.connect(self.try_it)
        self.forget.clicked.connect(self.drop)
        self.url.textChanged.connect(self._typed)
        self._typed()
        self.resize(WIDTH_PX, self.sizeHint().height())

    def _typed(self) -> None:
        for button in (self.test, self.buttons.button(QDialogButtonBox.StandardButton.Ok)):
            button.setEnabled(bool(self.url.text().strip()))
        try:
            known = Server.typed(self.url.text()).url in read_servers()
        except VitascopeError:
            known = False
        self.forget.setEnabled(known)

    def try_it(self) -> None:
        """Ask the server whether it answers, and say so."""
        try:
            server = Server.typed(self.url.text(), self.token.text())
        except VitascopeError as error:
            self.said.setText(error.in_dock)
            return
        self.said.setText(f"Asking {server.name} …")
        self.test.setEnabled(False)

        def arrived(value: str | RunOutcome) -> None:
            if isalive(self):
                self.said.setText(outcome_text(value))
                self.test.setEnabled(True)

        self._launch(lambda: ask_server(server), arrived)

    def accept(self) -> None:
        """Keep the server, and say which it is."""
        try:
            server = Server.typed(self.url.text(), self.token.text())
            keep_server(server)
        except VitascopeError as error:
            self.said.setText(error.in_dock)
            return
        self.answered.emit(server.url)
        super().accept()

    def drop(self) -> None:
        """Keep the server no longer."""
        try:
            forget_server(Server.typed(self.url.text()).url)
        except VitascopeError as error:
            self.said.setText(error.in_dock)
            return
        self.forgotten.emit()
        super().reject()
