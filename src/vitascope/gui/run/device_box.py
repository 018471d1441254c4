"""The list of what computes: the devices of this machine, the user's servers, and "Server …" for another one."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from vitascope.core.hardware import offered_devices
from vitascope.gui.run.server_dialog import ServerQuestion
from vitascope.gui.run.servers import Server, read_servers

AUTO, ANOTHER = "auto", "another server"
AUTOMATIC, SERVER = "automatic", "Server …"


class DeviceBox(QComboBox):  # type: ignore[misc]
    """Chooses what computes.

    Parameters
    ----------
    servers : bool
        Whether servers are offered.
    """

    deviceChanged = Signal()  # noqa: N815, as Qt's signals are called

    def __init__(self, servers: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offers_servers = servers
        self._servers: dict[str, Server] = {}
        self._chosen: str = AUTO
        self._told: tuple[str, Server | None] = (AUTO, None)
        for id_, text in ((AUTO, AUTOMATIC), *offered_devices()):
            self.addItem(text, id_)
        self._own = self.count()
        self.reload()
        self.currentIndexChanged.connect(self._changed)

    def reload(self) -> None:
        """List the servers again, which another dock may have added; the chosen device stays where it is there."""
        if not self._offers_servers:
            return
        self._servers = read_servers()
        self.blockSignals(True)
        while self.count() > self._own:
            self.removeItem(self.count() - 1)
        for url, server in self._servers.items():
            self.addItem(server.name, url)
        self.addItem(SERVER, ANOTHER)
        self.setCurrentIndex(max(0, self.findData(self._chosen)))
        self.blockSignals(False)
        self._chosen = self.currentData()
        self._tell()

    def _tell(self) -> None:
        """Tell of another device, or of another token of the same server."""
        told = (self._chosen, self.server())
        if told != self._told:
            self._told = told
            self.deviceChanged.emit()

    def _changed(self) -> None:
        if self.currentData() != ANOTHER:
            self._chosen = self.currentData()
            self._tell()
            return
        asked_from = self.server()
        self.blockSignals(True)
        self.setCurrentIndex(max(0, self.findData(self._chosen)))
        self.blockSignals(False)
        question = ServerQuestion(asked_from, self)
        question.answered.connect(self.choose)
        question.forgotten.connect(self.reload)
        question.open()

    def choose(self, url: str) -> None:
        """Choose a server that is kept."""
        self._chosen = url
        self.reload()

    def server(self) -> Server | None:
        """Return the chosen server; None for a device of this machine."""
        return self._servers.get(self._chosen)

    def value(self) -> str:
        """Return the device as parameters have it; a server chooses its own."""
        return AUTO if self.server() is not None else self._chosen
