"""Which format a path is read as, and that a further format is one more entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from vitascope.core.errors import ReaderError
from vitascope.io.plates import read
from vitascope.io.plates.image_folder import folder_plates
from vitascope.io.plates.read import (
    CELLVOYAGER,
    IMAGE_FOLDER,
    METAXPRESS,
    OPERETTA,
    READERS,
    VENDOR_FILE,
    PlateReader,
    find_plates,
    is_plate,
)


def _first(path: Path, pattern: str | None = None) -> PlateReader | None:
    return next((one for one in READERS if one.matches(path, pattern)), None)


def _images(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for well in ("A01", "A02"):
        tifffile.imwrite(folder / f"{well}.tif", np.zeros((4, 4), np.uint8))
    return folder


@pytest.mark.parametrize(
    ("name", "reader"),
    [("Index.idx.xml", OPERETTA), ("INDEX.XML", OPERETTA), ("plate.HTD", METAXPRESS), ("plate.czi", VENDOR_FILE)],
)
def test_files_are_told_by_their_names(tmp_path, name, reader):
    (tmp_path / name).touch()
    assert _first(tmp_path / name) is reader
    assert is_plate(tmp_path / name) is reader.certain


@pytest.mark.parametrize(
    ("name", "reader"), [("Index.idx.xml", OPERETTA), ("plate.HTD", METAXPRESS), ("MeasurementData.mlf", CELLVOYAGER)]
)
def test_what_an_instrument_wrote_goes_before_names_unless_a_pattern_is_given(tmp_path, name, reader):
    folder = _images(tmp_path / "plate")
    assert _first(folder) is IMAGE_FOLDER
    (folder / name).touch()
    assert _first(folder) is reader
    assert _first(folder, "{well}") is IMAGE_FOLDER
    assert [str(site.well) for site in find_plates(folder, pattern="{well}")[0]] == ["A01", "A02"]


def test_a_path_of_no_format_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert _first(tmp_path / "notes.txt") is None
    with pytest.raises(ReaderError, match="is no plate"):
        find_plates(tmp_path / "notes.txt")
    with pytest.raises(ReaderError, match="does not exist"):
        find_plates(tmp_path / "gone")


def test_a_further_format_is_one_more_entry(tmp_path, monkeypatch):
    _images(tmp_path / "images")
    (tmp_path / "plate.list").write_text("images")
    listed = PlateReader(
        lambda path, pattern: path.suffix == ".list",
        lambda path, pattern, size, planes: folder_plates(path.parent / path.read_text(), pattern, size, planes),
    )
    monkeypatch.setattr(read, "READERS", (listed, *READERS))
    assert is_plate(tmp_path / "plate.list")
    assert len(find_plates(tmp_path / "plate.list", size=96)[0].wells) == 2
