"""What holds a network of another program between runs."""

from __future__ import annotations

from vitascope.core.graph_spec import GraphSpec
from vitascope.engine.graphs.network import GraphNetwork, open_network


class GraphSource:
    """A graph that passed its checks, opened when it is first wanted.

    Parameters
    ----------
    data : bytes
    spec : GraphSpec
    """

    name = "graph"

    def __init__(self, data: bytes, spec: GraphSpec) -> None:
        self._data, self.spec = data, spec
        self._opened: tuple[int, GraphNetwork] | None = None

    def open(self, threads: int) -> GraphNetwork:
        """Return the network on so many threads of the processor."""
        if self._opened is None or self._opened[0] != threads:
            self._opened = (threads, open_network(self._data, self.spec, threads))
        return self._opened[1]
