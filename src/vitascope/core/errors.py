"""What can go wrong, said so that the user can put it right: what is wrong, and what to do."""

from __future__ import annotations

import re

_CLASS_NAME = re.compile(r"[\w.]*(?:Error|Exception|Exit|Interrupt|Iteration|Warning)")
_LONGEST = 200
_IN_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (StopIteration, "it ends before it should"),
    (EOFError, "it ends before it should"),
    (IndexError, "a part of it is missing"),
    (MemoryError, "it does not fit into memory"),
    (TimeoutError, "it took too long"),
    (OSError, "the system gave no reason"),
    (KeyError, "it holds something that is not known here"),
    (BaseException, "what it holds is not what such a file holds"),
)
_TELL_NOTHING = (IndexError, UnicodeError)
"""Errors whose text speaks of the program alone."""

COMMAND_WORDS = re.compile(
    r"--[a-z]|on the command line|\bvitascope (?:run|plate|train|evaluate|models|demo) |\b[a-z_]+= in Python"
)
"""What only someone at a command line can follow."""


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
    dock : str, optional
        What to do about it in a dock, where that is something else.
    """

    default_flag = "error"

    def __init__(self, message: str, hint: str = "", *, flag: str | None = None, dock: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.dock = dock
        self.flag = flag or self.default_flag

    def __str__(self) -> str:
        """Return the message, followed by the hint."""
        return f"{self.message} {self.hint}".strip()

    @property
    def dock_hint(self) -> str:
        """What to do about it in a dock: no option of the command line."""
        return self.dock or without_options(self.hint)

    @property
    def in_dock(self) -> str:
        """The message, followed by the hint for docks."""
        return f"{self.message} {self.dock_hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with hints and flag, for workers in other processes."""
        return _rebuild, (type(self), self.message, self.hint, self.flag, self.dock)


def _rebuild(kind: type[VitascopeError], message: str, hint: str, flag: str, dock: str = "") -> VitascopeError:
    return kind(message, hint, flag=flag, dock=dock)


def without_options(text: str) -> str:
    """Return a text without what can be done at a command line only: remarks in brackets, alternatives, sentences.

    Examples
    --------
    >>> without_options("Name it: channel 0 (on the command line --set channel=0).")
    'Name it: channel 0.'
    >>> without_options("Change --pattern so that it fits, or give fewer files. Check them.")
    'Give fewer files. Check them.'
    """
    text = re.sub(r"\s*\(([^()]*)\)", lambda found: "" if COMMAND_WORDS.search(found[1]) else found[0], text)
    if not COMMAND_WORDS.search(text):
        return text
    kept = []
    for sentence in re.split(r"(?<=[.!?]) +(?=[A-Z])", text):
        parts = [part for part in re.split(r"; |, or ", sentence.rstrip(".")) if not COMMAND_WORDS.search(part)]
        if parts:
            told = ", or ".join(parts)
            kept.append(f"{told[:1].upper()}{told[1:]}.")
    return " ".join(kept)


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


def describe(error: BaseException) -> str:
    """Say in words what an error of a library says, for the end of a sentence; without a full stop.

    Many errors have no text, or one that is only a key (``str(KeyError(6))`` is ``6``) or a name: these tell the user
    nothing, and are put into words by their kind.

    Examples
    --------
    >>> describe(KeyError(6)), describe(StopIteration()), describe(ValueError("bad magic number."))
    ("it holds something that is not known here ('6')", 'it ends before it should', 'bad magic number')
    """
    if isinstance(error, VitascopeError):
        text = error.message
    elif isinstance(error, OSError) and error.strerror:
        text = str(error.strerror)
    else:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")[:_LONGEST].strip(" .:'")
    if is_told(first) and not isinstance(error, _TELL_NOTHING):
        return first
    words = next(words for kinds, words in _IN_WORDS if isinstance(error, kinds))
    tells = first and not _CLASS_NAME.fullmatch(first) and not isinstance(error, _TELL_NOTHING)
    return f"{words} ('{first}')" if tells else words


def is_told(text: str) -> bool:
    """Tell whether a text says something: at least two words, and not the name of a class of errors.

    Examples
    --------
    >>> is_told("bad magic number"), is_told("6"), is_told("'C'"), is_told("KeyError: 6")
    (True, False, False, False)
    """
    words = [word for word in re.findall(r"[^\W\d_]{2,}", text) if not _CLASS_NAME.fullmatch(word)]
    return len(words) > 1
