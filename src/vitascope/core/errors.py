"""What can go wrong, said so that the user can put it right: what is wrong, and what to do."""

from __future__ import annotations


class VitascopeError(Exception):
    """Base of all errors meant for the user.

    Parameters
    ----------
    message : str
        What is wrong with the value, in one sentence.
    hint : str, optional
        What to do about it.
    flag : str, optional
        Word of :data:`vitascope.core.flags.FLAGS` that tables carry for this error.
    """

    default_flag = "error"

    def __init__(self, message: str, hint: str = "", *, flag: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.flag = flag or self.default_flag

    def __str__(self) -> str:
        """Return the message, followed by the hint."""
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with hint and flag, for workers in other processes."""
        return _rebuild, (type(self), self.message, self.hint, self.flag)


def _rebuild(kind: type[VitascopeError], message: str, hint: str, flag: str) -> VitascopeError:
    return kind(message, hint, flag=flag)


class InputError(VitascopeError):
    """The image, table or layer cannot be judged by this task: rejected, not failed."""

    default_flag = "unfit_input"


class AxesUnknownError(InputError):
    """Nothing tells what a dimension of an image stands for: depth, time or channels. It is asked, never guessed.

    Parameters
    ----------
    message, hint : str
    readings : tuple of str
        The axes that the image may have, such as ``ZYX``, ``TYX`` and ``CYX``.
    """

    default_flag = "axes_unknown"

    def __init__(
        self, message: str, hint: str = "", *, flag: str | None = None, readings: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint, flag=flag)
        self.readings = readings

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the readings too."""
        return _rebuild_unknown, (self.message, self.hint, self.readings)


def _rebuild_unknown(message: str, hint: str, readings: tuple[str, ...]) -> AxesUnknownError:
    return AxesUnknownError(message, hint, readings=readings)


class ParameterError(VitascopeError):
    """A parameter has a value that cannot be used."""

    default_flag = "bad_parameter"


class RangeError(ParameterError):
    """A number lies outside the range that a formula is defined on."""


class ReaderError(VitascopeError):
    """A file cannot be read."""

    default_flag = "unreadable"


class IncompleteError(ReaderError):
    """A file or plate lacks a part that it says it has."""

    default_flag = "incomplete"


class OutputError(VitascopeError):
    """A result cannot be written."""

    default_flag = "not_written"


class ModelError(VitascopeError):
    """A model card or its weights cannot be used."""

    default_flag = "model_refused"


class MemoryShortageError(VitascopeError):
    """Memory did not suffice, at the smallest tile either."""

    default_flag = "memory"


class MissingPackageError(VitascopeError):
    """A package that the calculation needs is not installed, or broken."""


class TrainingError(VitascopeError):
    """Training cannot start or continue."""

    default_flag = "training_stopped"
