"""The viewer as docks get it: any use of it off the main thread raises at once, where Qt would crash later."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import wrapt
from napari.layers import Layer


class OffMainThreadError(RuntimeError):
    """The viewer was used off the main thread: a mistake in the program, never of the user."""


def check_main_thread(what: str) -> None:
    """Refuse to go on in any thread but the main one.

    Parameters
    ----------
    what : str
        What was about to be used.

    Raises
    ------
    OffMainThreadError
        Naming it and the thread.

    Examples
    --------
    >>> check_main_thread("viewer.layers")
    """
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        raise OffMainThreadError(
            f"{what} was used in the thread '{thread.name}': return the value from the work, use it when it arrives."
        )


class MainThreadOnly(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A viewer, or a part of one, that can be used on the main thread only.

    Parts (``layers``, ``dims``, ``camera`` …) and methods that are taken out of it are guarded as well, so that none
    can be carried into a thread. Layers are handed out as they are: docks compare them with those of events.

    Parameters
    ----------
    wrapped : object
    name : str
        What it is called in messages.
    """

    def __init__(self, wrapped: Any, name: str = "viewer") -> None:
        super().__init__(wrapped)
        self._self_name = name

    def _self_check(self, name: str) -> None:
        check_main_thread(f"{self._self_name}.{name}")

    def __getattr__(self, name: str) -> Any:
        self._self_check(name)
        return guarded(getattr(self.__wrapped__, name), f"{self._self_name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_self_") and name != "__wrapped__":
            self._self_check(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._self_check(name)
        super().__delattr__(name)

    def __getitem__(self, key: Any) -> Any:
        self._self_check("__getitem__")
        return guarded(self.__wrapped__[key], f"{self._self_name}[…]")

    def __setitem__(self, key: Any, value: Any) -> None:
        self._self_check("__setitem__")
        self.__wrapped__[key] = value

    def __delitem__(self, key: Any) -> None:
        self._self_check("__delitem__")
        del self.__wrapped__[key]

    def __iter__(self) -> Iterator[Any]:
        self._self_check("__iter__")
        return iter(self.__wrapped__)

    def __reversed__(self) -> Iterator[Any]:
        self._self_check("__reversed__")
        backwards: Iterator[Any] = reversed(self.__wrapped__)
        return backwards

    def __len__(self) -> int:
        self._self_check("__len__")
        return len(self.__wrapped__)

    def __contains__(self, one: Any) -> bool:
        self._self_check("__contains__")
        return one in self.__wrapped__

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call a part that can be called, such as an emitter."""
        self._self_check("__call__")
        return self.__wrapped__(*given, **named)


def guarded(value: Any, name: str) -> Any:
    """Guard what is taken out of a viewer: its parts and its methods; layers and plain values stay as they are."""
    if inspect.ismethod(value):
        return _guarded_method(value, name)
    if isinstance(value, Layer) or not type(value).__module__.startswith("napari"):
        return value
    return value if isinstance(value, MainThreadOnly) else MainThreadOnly(value, name)


def _guarded_method(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(method)
    def on_main_thread(*given: Any, **named: Any) -> Any:
        check_main_thread(name)
        return method(*given, **named)

    return on_main_thread
