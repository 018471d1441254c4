"""What holds a network of another program between runs."""

from __future__ import annotations

from vitascope.core.graph_spec import GraphSpec
from vitascope.engine.graphs.cuda import CudaNetwork
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
        self._opened: tuple[tuple[str, int], GraphNetwork | CudaNetwork] | None = None

    def open(self, threads: int, device: str = "cpu") -> GraphNetwork | CudaNetwork:
        """Return the network on so many threads of the processor, or on a graphics card (``cuda:0``).

        Raises
        ------
        RuntimeError
            If the card does not take it.
        """
        key = (device, threads)
        if self._opened is None or self._opened[0] != key:
            spec = self.spec
            if device.startswith("cuda"):
                index = int(device.partition(":")[2] or 0)
                opened: GraphNetwork | CudaNetwork = CudaNetwork(self._data, spec.input, spec.axes, spec.dtype, index)
            else:
                opened = open_network(self._data, spec, threads, device)
            self._opened = (key, opened)
        return self._opened[1]
