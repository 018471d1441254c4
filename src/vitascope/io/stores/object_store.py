"""An object store by fsspec: what lies under an address, and getting it; nothing is asked before an address is given.

Credentials, endpoint and region are those of the environment, as s3fs and botocore read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.core.errors import MissingPackageError, OutputError, ReaderError, VitascopeError, describe
from vitascope.core.paths import URL

EXTRAS = {"s3": ("s3fs", "s3")}
"""For each kind of address: the package that reads it, and the extra that brings it."""

ENDPOINTS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")}
_MAY_NOT = ("NoCredentialsError", "PartialCredentialsError", "PermissionError", "ProfileNotFound")
_WHO = (
    "Give the credentials in the environment (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY); a bucket "
    "that is open to all is read with FSSPEC_S3_ANON=true."
)


@dataclass(frozen=True)
class StoreUrl:
    """An address in a store.

    Parameters
    ----------
    scheme : str
    key : str
        Bucket and what follows, without slashes at its ends.
    """

    scheme: str
    key: str

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> StoreUrl:
        """Read an address; one slash for two, as paths have it, is taken too.

        Raises
        ------
        ReaderError
            If it is of another kind than those that are read, or names no bucket.

        Examples
        --------
        >>> StoreUrl.parse("s3://screens/plate7/"), str(StoreUrl.parse("s3:/screens/a.tif"))
        (StoreUrl(scheme='s3', key='screens/plate7'), 's3://screens/a.tif')
        """
        found = URL.match(os.fspath(text))
        scheme = found[1].lower() if found else ""
        if scheme not in EXTRAS:
            raise ReaderError(
                f"'{os.fspath(text)}' is an address that is not read here.",
                f"Give a file or folder of this machine, or an address such as {next(iter(EXTRAS))}://bucket/plate.",
            )
        key = os.fspath(text)[found.end() if found else 0 :].strip("/")
        if not key or any(part in ("", ".", "..") for part in key.split("/")):
            raise ReaderError(
                f"'{os.fspath(text)}' is no address of an object.", "Write it as s3://bucket/folder/file."
            )
        return cls(scheme, key)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    @property
    def name(self) -> str:
        """What stands last in it."""
        return self.key.rsplit("/", 1)[-1]

    def parent(self) -> StoreUrl:
        """Return the address above; that of a bucket is itself."""
        return StoreUrl(self.scheme, self.key.rpartition("/")[0] or self.key)


@dataclass(frozen=True)
class StoredObject:
    """What a store tells of an object.

    Parameters
    ----------
    name : str
        Path below the address that was listed; empty for the address itself.
    size : int
        In bytes.
    modified : float
        Seconds since 1970: whole ones, as stores tell them, and a fraction made of the tag, so that what was replaced
        within a second by as many bytes is another file by size and time.
    tag : str
        Changes with the content (ETag).
    """

    name: str
    size: int
    modified: float
    tag: str


def endpoint_of(scheme: str) -> str:
    """Return the address of the machine that the environment names; empty for the usual one."""
    return next((found for name in ENDPOINTS[scheme] if (found := os.environ.get(name))), "")


def list_objects(url: StoreUrl, *, may_be_empty: bool = False) -> list[StoredObject]:
    """List the object of an address, or all those below it; where there may be none, its bucket must be there.

    Raises
    ------
    ReaderError
        If there is nothing, or the store does not answer.
    MissingPackageError
        If the package for such addresses is not installed.
    """
    store = _store(url.scheme)
    try:
        bucket = url.key.split("/", 1)[0]
        if may_be_empty and not store.exists(bucket):
            raise FileNotFoundError(bucket)
        found = store.find(url.key, detail=True)
    except Exception as error:
        raise said(url, error) from error
    if not found and not may_be_empty:
        raise said(url, FileNotFoundError())
    listed = []
    for key, about in sorted(found.items()):
        name = key[len(url.key) :].lstrip("/") if key != url.key else ""
        if about.get("type", "file") == "file" and not key.endswith("/"):  # such stand for folders and hold nothing
            when = about.get("LastModified")
            tag = str(about.get("ETag", "")).strip('"')
            modified = (int(when.timestamp()) if when is not None else 0) + _fraction(tag)
            listed.append(StoredObject(name, int(about["size"]), modified, tag))
    return listed


def _fraction(tag: str) -> float:
    """Return a number of [0, 1) that changes with a tag, coarse enough to be a part of a second since 1970."""
    return (int.from_bytes(hashlib.sha256(tag.encode()).digest()[:2], "big")) / (1 << 16) if tag else 0.0


def get(urls: Sequence[StoreUrl], to: Sequence[Path]) -> None:
    """Write objects to files, several at a time.

    Raises
    ------
    ReaderError
        If one is gone or may not be read, or the store does not answer.
    OutputError
        If the disk is full.
    """
    if not urls:
        return
    try:
        _store(urls[0].scheme).get([url.key for url in urls], [str(path) for path in to])
    except Exception as error:
        raise said(urls[0], error) from error


def put(files: Sequence[Path], to: Sequence[StoreUrl]) -> None:
    """Write files to objects, several at a time.

    Raises
    ------
    OutputError
        If they could not be written.
    """
    if not to:
        return
    try:
        _store(to[0].scheme).put([str(path) for path in files], [url.key for url in to])
    except VitascopeError:
        raise
    except Exception as error:
        hint = _WHO if type(error).__name__ in _MAY_NOT else "Check the address and that it may be written to."
        raise OutputError(f"'{to[0].parent()}' cannot be written: {describe(error)}.", hint) from error


def _store(scheme: str) -> Any:
    """Return the file system of a kind of address; what it lists is never kept, since others write to it."""
    import fsspec

    package, extra = EXTRAS[scheme]
    own: dict[str, Any] = {"use_listings_cache": False}
    if endpoint := endpoint_of(scheme):
        own["endpoint_url"] = endpoint
    try:
        return fsspec.filesystem(scheme, **own)
    except ImportError as error:
        raise MissingPackageError(
            f"The package '{package}' is not installed here: {scheme}:// addresses cannot be read.",
            f"Install it with: pip install 'vitascope[{extra}]'.",
        ) from error


def said(url: StoreUrl, error: BaseException) -> VitascopeError:
    """Say in the user's words why a store did not give what was asked for."""
    if isinstance(error, VitascopeError):
        return error
    if isinstance(error, FileNotFoundError):
        return ReaderError(f"There is nothing at '{url}'.", "Check bucket and path; upper and lower case differ.")
    if type(error).__name__ in _MAY_NOT:
        return ReaderError(f"'{url}' may not be read.", _WHO)
    return ReaderError(
        f"The store of '{url}' does not answer as it should: {describe(error)}.",
        "Check the network, and AWS_ENDPOINT_URL where the store is not Amazon's.",
    )
