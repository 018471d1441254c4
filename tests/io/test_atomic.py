from __future__ import annotations

import errno
import json
import os
import stat

import numpy as np
import pytest

from vitascope.core.errors import OutputError
from vitascope.io.atomic import atomic_folder, atomic_write, check_writable, file_name, write_json


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_any_file_system_takes():
    assert file_name('a/b\\c:d*e?f"g<h>i|j\n') == "a_b_c_d_e_f_g_h_i_j_"
    assert file_name("µ 板 #(1) [x].") == "µ 板 #(1) [x]"
    assert file_name("..") == "image"
    assert file_name("caf\udce9") == "caf_"
    assert len(file_name("板" * 300).encode()) <= 180


def test_file_becomes_whole_at_once(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert listing(path.parent) == ["a.bin"]


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("x")]
)
def test_file_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    expected = OutputError if isinstance(error, OSError) else type(error)

    def fail():
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(expected) as caught:
        fail()
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["a.bin"]
    if expected is OutputError:
        assert str(tmp_path) in caught.value.message
        assert "full" in caught.value.message


def test_folder_becomes_whole_at_once_and_replaces_the_old(tmp_path):
    path = tmp_path / "a.zarr"
    for text in ("first", "second"):
        with atomic_folder(path) as folder:
            (folder / text).touch()
        assert listing(path) == [text]

    def fail():
        with atomic_folder(path) as folder:
            (folder / "third").touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError):
        fail()
    assert listing(path) == ["second"]
    assert listing(tmp_path) == ["a.zarr"]


@pytest.mark.fault("E11")
def test_folder_that_cannot_be_written_is_known_before_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "new" / "deep")
    assert listing(tmp_path) == ["file"]


@pytest.mark.fault("E11")
def test_read_only_folder(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("vitascope.io.atomic.tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match="may not be written"):
        check_writable(tmp_path / "out")


def test_too_little_room_is_known_before_the_start(tmp_path):
    with pytest.raises(OutputError, match="GiB left"):
        check_writable(tmp_path, 2**70)


def test_json_with_numpy_values_and_umlauts(tmp_path):
    path = tmp_path / "p.json"
    write_json(path, {"a": np.float32(0.5), "b": np.arange(2), "c": {"z", "y"}, "d": tmp_path, "e": "µ板"})
    found = json.loads(path.read_text("utf-8"))
    assert found == {"a": 0.5, "b": [0, 1], "c": ["y", "z"], "d": str(tmp_path), "e": "µ板"}
    assert os.stat(path).st_mode & 0o600 == 0o600  # noqa: PTH116


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_of_the_umask_which_is_never_changed(tmp_path, monkeypatch):
    before = os.umask(0o027)
    monkeypatch.setattr("os.umask", lambda mask: pytest.fail("the umask of all threads was changed"))
    try:
        with atomic_write(tmp_path / "a.bin") as file:
            file.write(b"a")
        with atomic_folder(tmp_path / "b") as folder:
            (folder / "c").touch()
        found = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.bin", "b")]
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert found == [0o640, 0o750]
