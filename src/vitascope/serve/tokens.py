"""Tokens: who may ask, and for what. Only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vitascope.core.errors import OutputError, ParameterError, ReaderError, describe

Scope = Literal["read", "run"]
HASHED = "sha256:"
LEAST_LETTERS = 16
"""Of a token that is written by hand: shorter ones can be guessed."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Token:
    """One token of the file.

    Parameters
    ----------
    name : str
        Whose jobs are theirs; the queue is fair between names.
    scope : {"read", "run"}
        ``read`` looks at jobs and results, ``run`` starts and ends jobs too.
    hashed : str
        SHA-256 of the token, as hexadecimal digits.
    """

    name: str
    scope: Scope
    hashed: str


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token. Tokens are long and random: no slow hash is needed to keep them from guessing."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a token file: one token a line, ``[NAME] [read|run] TOKEN``, where TOKEN may be its ``sha256:…``.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    ParameterError
        If it holds no token, or a line is none; the message never holds the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReaderError(f"The token file '{path.name}' cannot be read: {describe(error)}.") from error
    found = [
        _parse(line.split(), number, path.name)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise ParameterError(
            f"The token file '{path.name}' holds no token.",
            "Make one with --new-token NAME.",
        )
    return tuple(found)


def _parse(words: Sequence[str], number: int, file: str) -> Token:
    scope: Scope = "run"
    names = [word for word in words[:-1] if word not in get_args(Scope)]
    if "read" in words[:-1]:
        scope = "read"
    token = words[-1]
    hashed = token.removeprefix(HASHED) if _HASH.match(token) else hash_token(token)
    if len(names) > 1 or len(words) > 3 or len(token) < LEAST_LETTERS:
        raise ParameterError(
            f"Line {number} of the token file '{file}' is no token of at least {LEAST_LETTERS} characters.",
            "Write 'NAME run TOKEN' or 'NAME read TOKEN' on each line; --new-token makes one.",
        )
    return Token(names[0] if names else f"token-{hashed[:8]}", scope, hashed)


def new_token(path: Path, name: str, scope: Scope) -> str:
    """Make a token, add its hash to a token file, and return the token, which stands nowhere else.

    Raises
    ------
    ParameterError
        If the name cannot be used.
    OutputError
        If the file cannot be written.
    """
    if not re.fullmatch(r"[\w.-]{1,64}", name) or name in get_args(Scope):
        raise ParameterError(f"'{name}' is no name for a token.", "Use letters, digits, '.', '_' and '-'.")
    token = secrets.token_urlsafe(32)
    try:
        new = not path.exists()
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{name} {scope} {HASHED}{hash_token(token)}\n")
        if new:
            path.chmod(0o600)
    except OSError as error:
        raise OutputError(f"The token file '{path}' cannot be written: {describe(error)}.") from error
    return token


def find_token(tokens: Sequence[Token], given: str) -> Token | None:
    """Return the token that was given; all are compared, each in constant time."""
    hashed, found = hash_token(given), None
    for token in tokens:
        if hmac.compare_digest(token.hashed, hashed):
            found = token
    return found
