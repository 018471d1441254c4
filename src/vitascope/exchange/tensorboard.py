"""Curves of recorded training runs as event files, which TensorBoard shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vitascope.core.errors import ModelError, OutputError, describe
from vitascope.io.models.training_log import list_records, read_curve

__all__ = ["write_events"]


def write_events(records: Path, out: Path) -> list[Path]:
    """Write the curve of each recorded run, as one folder of its own.

    Parameters
    ----------
    records : Path
        The SQLite file of the runs.
    out : Path
        Folder that gets a folder for each run; those that are there stay as they are.

    Returns
    -------
    list of Path
        The folders that were written.

    Raises
    ------
    ModelError
        If the extra ``tensorboard`` is not installed.
    ReaderError
        If the records are broken.
    OutputError
        If the files cannot be written.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ModelError(
            "Event files cannot be written here.", "Install the extra: pip install 'vitascope[tensorboard]'."
        )
    from torch.utils.tensorboard import SummaryWriter  # of the extra

    written = []
    for record in list_records(records):
        folder = out / f"{record.model}-{record.key}"
        if folder.exists():
            continue
        curve = read_curve(records, record.key)
        try:
            with SummaryWriter(str(folder)) as writer:  # type: ignore[no-untyped-call]
                for row in curve.to_dict("records"):
                    for name, value in row.items():
                        if name != "epoch" and value == value:
                            writer.add_scalar(str(name), float(value), int(row["epoch"]))  # type: ignore[no-untyped-call]
        except OSError as error:
            raise OutputError(
                f"{folder.name} cannot be written: {describe(error)}.", "Choose another folder."
            ) from error
        written.append(folder)
    return written
