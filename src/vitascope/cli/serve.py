"""``vitascope serve``: the same jobs over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import typer

from vitascope.cli.console import plain_errors
from vitascope.core.errors import MissingPackageError, ParameterError
from vitascope.core.late_import import import_late

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1 << 30


@runtime_checkable
class ServeModule(Protocol):
    """The module that starts the service."""

    def serve(self, settings: object, /) -> None:
        """Run until the service is asked to end."""


@runtime_checkable
class SettingsModule(Protocol):
    """The module that knows what a service is started with."""

    Limits: Callable[..., object]
    ServiceSettings: Callable[..., object]


@runtime_checkable
class TokensModule(Protocol):
    """The module that makes tokens."""

    def new_token(self, path: Path, name: str, scope: str, /) -> str:
        """Make a token, and add its hash to a file."""


def serve(
    root: Annotated[Path, typer.Option(help="Folder whose images jobs may name.")] = Path(),
    data: Annotated[Path, typer.Option(help="Folder for jobs and results; never served.")] = Path("vitascope-service"),
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    token_file: Annotated[
        Path | None, typer.Option(help="File of tokens, one a line: [NAME] [read|run] TOKEN, or its sha256.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Jobs that run at once.")] = 1,
    max_upload_gib: Annotated[float, typer.Option(min=0.000001, help="What one request may hold.")] = 4.0,
    max_megapixels: Annotated[float, typer.Option(min=0.000001, help="That the images of a job may have.")] = 4000.0,
    max_jobs: Annotated[int, typer.Option(min=1, help="Jobs that may wait.")] = 5000,
    max_jobs_each: Annotated[int, typer.Option(min=1, help="Jobs of one user that may wait.")] = 2000,
    max_minutes: Annotated[float, typer.Option(min=0.0001, help="That a job may compute.")] = 1440.0,
    max_memory_gib: Annotated[float, typer.Option(min=0, help="That a job may take; 0 for no limit.")] = 0.0,
    keep_days: Annotated[float, typer.Option(min=0, help="After which ended jobs are removed; 0 keeps them.")] = 30.0,
    new_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a token, print it, add its hash to the file, and stop.")
    ] = None,
    scope: Annotated[str, typer.Option(metavar="read|run", help="What the new token is for.")] = "run",
) -> None:
    """Serve the tasks over HTTP, with a small web page, to scripts and other programs; see docs/service.md."""
    with plain_errors("The service has ended; jobs that were not done go on when it is started again."):
        if new_token is not None:
            _make_token(token_file, new_token, scope)
            return
        try:
            server = import_late("vitascope.serve.run", ServeModule)
        except MissingPackageError as error:
            raise MissingPackageError(
                error.message.partition(":")[0] + ": there is no service without it.",
                "Install it with: pip install 'vitascope[serve]'.",
            ) from error
        known = import_late("vitascope.serve.settings", SettingsModule)
        limits = known.Limits(
            upload_bytes=int(max_upload_gib * GIB),
            pixels=int(max_megapixels * 1e6),
            waiting=max_jobs,
            waiting_each=max_jobs_each,
            job_seconds=max_minutes * 60,
            memory_bytes=int(max_memory_gib * GIB),
        )
        settings = known.ServiceSettings(
            root=root,
            data=data,
            host=host,
            port=port,
            token_file=token_file,
            workers=workers,
            keep_days=keep_days,
            limits=limits,
        )
        server.serve(settings)


def _make_token(path: Path | None, name: str, scope: str) -> None:
    if path is None:
        raise ParameterError("A new token needs a file.", "Give --token-file.")
    if scope not in ("read", "run"):
        raise ParameterError(f"'{scope}' is no scope.", "Choose read or run.")
    typer.echo(import_late("vitascope.serve.tokens", TokensModule).new_token(path, name, scope))
