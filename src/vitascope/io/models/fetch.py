"""Models by a list that a laboratory keeps: each is fetched with consent, resumed where it broke off, and checked."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vitascope.core.errors import ModelError, OutputError, ParameterError, ReaderError, describe
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.io.models.yaml import read_yaml

PIECE_BYTES = 1 << 20
MAX_LIST_BYTES = 1 << 20
MAX_MODEL_BYTES = 8 << 30
"""The largest public network for pictures takes some 3 GiB."""

TIMEOUT_S = 30.0
SHA256 = re.compile(r"\A[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Entry:
    """A line of a list.

    Parameters
    ----------
    name : str
    source : str
        Who made it, for people.
    licence : str
    url : str
        ``https://``, ``http://``, or a path, relative to the list.
    sha256 : str
        Of the file.
    """

    name: str
    source: str
    licence: str
    url: str
    sha256: str

    @property
    def file_name(self) -> str:
        """What the file is called: its name in the list, with the ending of the address."""
        ending = Path(urllib.parse.urlsplit(self.url).path).suffix
        return f"{self.name}{ending if re.fullmatch(r'[.][A-Za-z0-9]{1,12}', ending) else ''}"


def read_list(path: Path) -> list[Entry]:
    """Read a list: CSV with a header, or YAML (JSON too), each entry with name, source, licence, url and sha256.

    Raises
    ------
    ParameterError
        If it cannot be read, an entry lacks something, or two have one name.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ParameterError(f"{path.name} is too large for a list of models.", "A line is some 200 bytes.")
        text = path.read_text("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text))) if path.suffix.lower() == ".csv" else read_yaml(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ParameterError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    except ReaderError as error:
        raise ParameterError(f"{path.name} cannot be read: {error.message}", "Write it as CSV or YAML.") from error
    if isinstance(rows, dict):
        rows = rows.get("models")
    if not isinstance(rows, list) or not rows:
        raise ParameterError(f"{path.name} lists no models.", f"Each has {', '.join(COLUMNS)}.")
    entries = [_entry(row, number, path.name) for number, row in enumerate(rows, 1)]
    if len({e.name for e in entries}) < len(entries):
        raise ParameterError(f"Two models of {path.name} have the same name.", "Name each differently.")
    return entries


COLUMNS = tuple(field.name for field in fields(Entry))


def _entry(row: Any, number: int, source: str) -> Entry:
    given = {k: str(row.get(k) or "").strip() for k in COLUMNS} if isinstance(row, dict) else {}
    missing = [k for k in COLUMNS if not given.get(k)]
    if missing:
        raise ParameterError(
            f"Entry {number} of {source} has no {missing[0]}.", f"Each model has {', '.join(COLUMNS)}."
        )
    given["sha256"] = given["sha256"].lower()
    if not SHA256.match(given["sha256"]):
        raise ParameterError(
            f"The sha256 of '{given['name']}' in {source} is none.",
            "It is 64 hexadecimal digits; in YAML within quotes.",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", given["name"]):
        raise ParameterError(
            f"'{given['name'][:80]}' in {source} is no name of a file.", "Take letters, digits, - and _."
        )
    if urllib.parse.urlsplit(given["url"]).scheme not in ("http", "https", ""):
        raise ParameterError(f"The address of '{given['name']}' is none of http, https or a path.", "Put it right.")
    return Entry(**given)


def fetch(entry: Entry, folder: Path, base: Path, offline: Path | None = None) -> ProgressGenerator[Path]:
    """Fetch a model to a folder; a broken download is resumed, and the file is there only when its SHA-256 is right.

    Parameters
    ----------
    entry : Entry
    folder : Path
    base : Path
        Folder of the list, which paths in it start from.
    offline : Path, optional
        The file, brought in another way, or a folder that holds it; nothing is asked of the network then.

    Yields
    ------
    Progress
        In MiB.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the file is not the one of the list, or cannot be fetched.
    OutputError
        If the folder cannot be written.
    """
    target = folder / entry.file_name
    if target.is_file() and _sha256(target) == entry.sha256:
        return target
    if target.exists():
        raise OutputError(f"{target.name} is there already, and is another file.", "Move it away.")
    part = target.with_name(f"{target.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if offline is not None or not urllib.parse.urlsplit(entry.url).scheme:
            shutil.copyfile(_local(entry, base, offline), part)
        else:
            yield from _download(entry, part)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise ModelError(
            f"'{entry.name}' could not be fetched: {describe(error)}.",
            "The same command goes on where it broke off; or bring the file in another way (--file FILE).",
        ) from error
    except OSError as error:
        raise OutputError(f"'{entry.name}' cannot be stored: {describe(error)}.", "Check folder and disk.") from error
    if _sha256(part) != entry.sha256:
        part.unlink()
        raise ModelError(
            f"What was fetched as '{entry.name}' is not the file of the list (SHA-256 differs).", "Ask again."
        )
    part.replace(target)
    return target


def _local(entry: Entry, base: Path, offline: Path | None) -> Path:
    path = offline if offline is not None else base / entry.url
    if path.is_dir():
        path = path / Path(urllib.parse.urlsplit(entry.url).path).name
    if not path.is_file():
        raise ModelError(f"'{path.name}' is not there.", "Check the path of the file.")
    return path


def _download(entry: Entry, part: Path) -> ProgressGenerator[None]:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(entry.url, headers={"User-Agent": "vitascope"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # the scheme was checked when the list was read
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # there is nothing behind what is here: the check of the SHA-256 tells whether it is whole
            return
        raise
    with answer:
        resumed = answer.status == 206
        done = have if resumed else 0
        total = done + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if resumed else "wb") as file:
            while piece := answer.read(PIECE_BYTES):
                file.write(piece)
                done += len(piece)
                if done > MAX_MODEL_BYTES:
                    raise ModelError(f"'{entry.name}' is larger than 8 GiB.", "Check the address.")
                yield Progress(done >> 20, max(total, done) >> 20, f"Fetching {entry.name} (MiB)")
        if total and done < total:
            raise ConnectionError("the connection ended early")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
