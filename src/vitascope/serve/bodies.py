"""Bodies of requests that are JSON: short, and objects."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from vitascope.serve.problems import RefusedError

MOST_JSON_BYTES = 1 << 20


async def short_body(request: Request) -> bytes:
    """Return a body of at most 1 MiB.

    Raises
    ------
    RefusedError
        413, if it is longer.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_JSON_BYTES:
            raise RefusedError(413, "The JSON is longer than 1 MiB.", "Name folders instead of files.", "too_large")
    return body


def json_object(text: bytes | str, what: str) -> dict[str, Any]:
    r"""Read a JSON object, empty text as an empty one.

    Raises
    ------
    RefusedError
        422, naming what is none, or holds half a letter (a surrogate such as ``\ud800``), which cannot be stored.
    """
    try:
        found = json.loads(text or b"{}", parse_constant=_no_number)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RefusedError(422, f"{what} is no JSON.", 'Write an object such as {"device": "cpu"}.') from error
    if not isinstance(found, dict):
        raise RefusedError(422, f"{what} is no JSON object.", 'Write an object such as {"device": "cpu"}.')
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number.")
