"""Images, plates and folders in an object store, against a server of this machine."""

import os
import stat

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

import vitascope
from service_support import FAST, make_field
from tests_support import make_model, save_model
from vitascope.cli.main import app
from vitascope.core.errors import IncompleteError, MissingPackageError, OutputError, ReaderError
from vitascope.io.images.read import find_groups, open_group, read_image
from vitascope.io.plates.read import is_plate, open_plate
from vitascope.io.stores import mirror as mirrors
from vitascope.io.stores.mirror import fetch, mirror, release
from vitascope.io.stores.object_store import StoreUrl
from vitascope.io.tables.plate_map import read_plate_map

s3fs = pytest.importorskip("s3fs", reason="object stores need s3fs (extra s3)")
moto = pytest.importorskip(
    "moto.server", reason="the store of the tests needs moto[s3], flask and flask-cors (extra test)"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of botocore and moto
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def server():
    found = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    host, port = found.get_host_and_port()
    yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture
def store(server, tmp_path, monkeypatch):
    """A store with an empty bucket, as the environment tells of one; what is asked of it is counted."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "VITASCOPE_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    made = s3fs.S3FileSystem(endpoint_url=server, use_listings_cache=False)
    if made.exists("lab"):
        made.rm("lab", recursive=True)
    made.mkdir("lab")
    return made


def put(store, folder, key):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(str(path), f"{key}/{path.relative_to(folder).as_posix()}")


def got(top):
    """Names of the files that were got, of those that hold pixels."""
    return sorted(
        path.relative_to(top).as_posix()
        for path in top.rglob("*")
        if path.is_file() and path.stat().st_mode & stat.S_IWUSR and not path.name.startswith((".z", "zarr.json"))
    )


@pytest.fixture
def plate(tmp_path):
    for number, well in enumerate(("A01", "A02", "B01")):
        make_field(tmp_path / "plate" / f"p_{well}.ome.tif", gain=700 + 100 * number)
    (tmp_path / "plate" / "map.csv").write_text("well,treatment,dose,dose_unit,role\nA01,x,1,µM,treatment\n")
    return tmp_path / "plate"


def test_an_image_is_that_of_the_disk_and_is_got_once(store, tmp_path, monkeypatch):
    path = make_field(tmp_path / "scan.ome.tif")
    store.put_file(str(path), "lab/day3/scan.ome.tif")
    here, there = read_image(path), read_image("s3://lab/day3/scan.ome.tif")
    np.testing.assert_array_equal(np.asarray(there.array), np.asarray(here.array))
    assert (there.name, there.pixel_size_um, there.axes) == (here.name, 0.5, here.axes)
    monkeypatch.setattr(mirrors, "get", lambda urls, to: pytest.fail(f"got again: {urls}") if urls else None)
    read_image("s3://lab/day3/scan.ome.tif")


def test_planes_of_a_folder_and_a_wildcard_are_grouped_by_their_names(store, tmp_path):
    picture = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for z in range(3):
        tifffile.imwrite(tmp_path / f"a_z{z}.tif", picture + z)
        store.put_file(str(tmp_path / f"a_z{z}.tif"), f"lab/stack/a_z{z}.tif")
    (group,) = find_groups(["s3://lab/stack"])
    np.testing.assert_array_equal(open_group(group).array[1].squeeze(), picture + 1)
    (group,) = find_groups(["s3://lab/stack/a_z[12].tif"])
    assert [path.name for path in group.paths] == ["a_z1.tif", "a_z2.tif"]


def test_a_plate_is_listed_without_a_pixel_and_each_image_is_got_when_it_is_opened(store, plate):
    put(store, plate, "lab/screen/plate")
    assert is_plate("s3://lab/screen/plate/")
    opened = open_plate("s3://lab/screen/plate")
    assert (opened.name, [str(site.well) for site in opened]) == ("plate", ["A01", "A02", "B01"])
    assert got(opened.path) == ["map.csv"]
    next(iter(opened)).open(None, None)
    assert got(opened.path) == ["map.csv", "p_A01.ome.tif"]
    assert len(read_plate_map("s3://lab/screen/plate/map.csv").table) == 1


def test_the_command_gives_the_same_numbers_as_on_the_disk_and_goes_on_where_it_stopped(
    store, plate, tmp_path, monkeypatch
):
    save_model(make_model(width=0.25, object_diameter_px=18), tmp_path / "models")
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    put(store, plate, "lab/plate")
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    tables = []
    for number, source in enumerate((str(plate), "s3://lab/plate")):
        words = ["plate", source, "--task", "stain", "-o", str(tmp_path / f"out{number}"), "--model", "test-model",
                 "--device", "cpu", *settings]  # fmt: skip
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        tables.append(
            pd.read_csv(tmp_path / f"out{number}" / "results.csv").drop(columns=["run", "seconds"], errors="ignore")
        )
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    again = CliRunner().invoke(app, words)
    assert "0 computed now" in again.output
    changed = make_field(tmp_path / "brighter.ome.tif", gain=1500)
    store.put_file(str(changed), "lab/plate/p_A02.ome.tif")
    again = CliRunner().invoke(app, words)
    assert "1 computed now" in again.output


def test_results_of_a_run_go_to_an_address_whole_or_not_at_all(store, tmp_path, monkeypatch):
    save_model(make_model(width=0.25, object_diameter_px=18), tmp_path / "models")
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    path = make_field(tmp_path / "scan.ome.tif")
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    words = ["run", "stain", str(path), "-o", "s3://lab/out", "--model", "test-model", "--device", "cpu", *settings]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Results: s3://lab/out" in done.output
    names = {key.removeprefix("lab/out/") for key in store.find("lab/out")}
    assert {"results.csv", "provenance.json", "prediction/scan.ome.tif"} <= names
    again = CliRunner().invoke(app, words)
    assert again.exit_code != 0
    assert "There is something at 's3://lab/out' already" in again.output
    gone = CliRunner().invoke(app, [*words[:4], "s3://no-such-bucket/out", *words[5:]])
    assert "There is nothing at 's3://no-such-bucket/out'" in gone.output
    words[2] = str(tmp_path / "nothing.tif")
    words[4] = "s3://lab/other"
    assert CliRunner().invoke(app, words).exit_code == 2
    assert store.find("lab/other") == []
    make_field(tmp_path / "plate" / "p_A01.ome.tif")
    plate = CliRunner().invoke(app, ["plate", str(tmp_path / "plate"), "--task", "stain", "-o", "s3://lab/plate-out"])
    assert "cannot be written to an address" in plate.output


def make_zarr(folder, name, shape=(2, 64, 64), chunk=32):
    import zarr

    group = zarr.open_group(str(folder / name), mode="w", zarr_format=3)
    values = np.random.default_rng(0).integers(0, 4000, shape, dtype=np.uint16)
    array = group.create_array(
        "0", shape=shape, chunks=(1, chunk, chunk), dtype="uint16", dimension_names=("c", "y", "x")
    )
    array[:] = values
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "micrometer"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return values


def test_of_a_zarr_image_only_the_chunks_are_got_that_are_read(store, tmp_path):
    values = make_zarr(tmp_path, "scan.zarr")
    put(store, tmp_path / "scan.zarr", "lab/scan.zarr")
    image = read_image("s3://lab/scan.zarr")
    top = mirror("s3://lab/scan.zarr")
    assert (image.pixel_size_um, image.sizes["C"], got(top)) == (0.5, 2, [])
    part = np.asarray(image.array[..., 40:60, 40:60])
    np.testing.assert_array_equal(part.squeeze(), values[:, 40:60, 40:60])
    assert 0 < len(got(top)) <= 8
    np.testing.assert_array_equal(np.asarray(image.array).squeeze(), values)
    assert len(got(top)) == 8


def test_a_chunk_that_is_missing_in_the_store_is_told_as_on_a_disk(store, tmp_path):
    make_zarr(tmp_path, "scan.zarr")
    put(store, tmp_path / "scan.zarr", "lab/scan.zarr")
    store.rm("lab/scan.zarr/0/c/0/1/1")
    assert "empty_chunks" in read_image("s3://lab/scan.zarr").flags


def test_an_ome_zarr_plate_is_read_from_its_metadata(store, tmp_path):
    import zarr

    folder = tmp_path / "screen.zarr"
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    listed = {
        "rows": [{"name": r} for r in "AB"],
        "columns": [{"name": c} for c in "12"],
        "wells": wells,
        "name": "screen",
    }
    zarr.open_group(str(folder), mode="w", zarr_format=3).attrs["ome"] = {"version": "0.5", "plate": listed}
    for well in wells:
        group = zarr.open_group(str(folder / well["path"]), mode="w", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        values = make_zarr(folder / well["path"], "0")
    put(store, folder, "lab/screen.zarr")
    opened = open_plate("s3://lab/screen.zarr")
    assert [str(site.well) for site in opened] == ["A01", "B02"]
    assert [site.problem for site in opened] == [None, None]
    assert got(opened.path) == []
    last = list(opened)[-1].open(None, None)
    np.testing.assert_array_equal(np.asarray(last.array).squeeze(), values)
    assert all(name.startswith("B/2/") for name in got(opened.path))


def test_what_changed_in_the_store_is_got_anew_and_what_is_gone_goes(store, plate, tmp_path):
    put(store, plate, "lab/plate")
    opened = open_plate("s3://lab/plate")
    first = np.asarray(next(iter(opened)).open(None, None).array)
    store.put_file(str(make_field(tmp_path / "new.ome.tif", gain=1234)), "lab/plate/p_A01.ome.tif")
    store.rm("lab/plate/p_B01.ome.tif")
    opened = open_plate("s3://lab/plate")
    assert len(opened) == 2
    assert (np.asarray(next(iter(opened)).open(None, None).array) != first).any()


def test_an_object_that_is_changed_between_listing_and_getting_is_never_taken_for_the_other(store, plate, tmp_path):
    put(store, plate, "lab/plate")
    opened = open_plate("s3://lab/plate")
    store.pipe_file("lab/plate/p_A01.ome.tif", b"another one")
    with pytest.raises(IncompleteError, match="was changed in the store"):
        next(iter(opened)).open(None, None)
    assert got(opened.path) == ["map.csv"]
    assert not list(opened.path.glob(".vitascope-*"))


def test_what_was_used_is_let_go_of_where_the_disk_is_nearly_full(store, plate, monkeypatch):
    put(store, plate, "lab/plate")
    opened = open_plate("s3://lab/plate")
    site = next(iter(opened))
    before = np.asarray(site.open(None, None).array)
    signed = [path.stat().st_mtime_ns for path in site.paths]
    monkeypatch.setattr(mirrors, "FREE_SHARE", 0.0)
    release(site.paths)
    assert "p_A01.ome.tif" in got(opened.path)
    monkeypatch.setattr(mirrors, "FREE_SHARE", 1.1)
    release((*site.paths, plate / "p_A01.ome.tif"))
    assert got(opened.path) == ["map.csv"]
    assert tifffile.imread(plate / "p_A01.ome.tif").any()  # a file of the user's is never touched
    assert [path.stat().st_mtime_ns for path in site.paths] == signed
    np.testing.assert_array_equal(np.asarray(site.open(None, None).array), before)
    monkeypatch.setattr(mirrors, "FREE_BYTES", 1 << 60)
    with pytest.raises(OutputError, match="no room"):
        list(opened)[1].open(None, None)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://lab/nothing", "There is nothing at 's3://lab/nothing'"),
        ("s3://no-such-bucket/a.tif", "There is nothing at"),
        ("s3://lab/../etc", "is no address of an object"),
        ("gs://lab/a.tif", "is an address that is not read here"),
        ("https://lab.example/a.tif", "is an address that is not read here"),
        ("s3://lab/nothing/Index.idx.xml", "There is nothing at"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_sentence(store, address, words):
    with pytest.raises(ReaderError, match="(?s)" + words) as told:
        find_groups([address])
    assert told.value.hint
    with pytest.raises(ReaderError, match="(?s)" + words):
        open_plate(address)
    assert not is_plate(address)


def test_without_credentials_and_without_an_answer_the_hint_says_what_to_do(store, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with pytest.raises(ReaderError, match="does not answer as it should") as told:
        find_groups(["s3://lab/a.tif"])
    assert "AWS_ENDPOINT_URL" in told.value.hint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")  # a client of its own
    with pytest.raises(ReaderError, match="may not be read") as told:
        find_groups(["s3://lab/a.tif"])
    assert "AWS_PROFILE" in told.value.hint


def test_names_that_no_file_can_have_are_left_out_and_lead_nowhere(store, tmp_path, caplog):
    content = make_field(tmp_path / "a.ome.tif").read_bytes()
    for key in ("lab/odd/a.ome.tif", "lab/odd/b\\..\\..\\c.tif", "lab/odd/d/e.tif", "lab/odd/d"):
        store.pipe_file(key, content)
    top = mirror("s3://lab/odd")
    assert sorted(path.relative_to(top).as_posix() for path in top.rglob("*.tif")) == ["a.ome.tif", "d/e.tif"]
    assert "no file can have" in caplog.text
    assert "is left out" in caplog.text


def test_a_path_of_this_machine_asks_nobody(no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "list_objects", lambda url: pytest.fail("a store was asked"))
    path = make_field(tmp_path / "scan.ome.tif")
    assert read_image(path).sizes["Y"]
    fetch([path, tmp_path / "nothing"])
    with pytest.raises(ReaderError):
        vitascope.read_images(tmp_path / "s3")


def test_without_the_package_the_sentence_says_how_to_get_it(monkeypatch):
    import fsspec

    def refuse(scheme, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", refuse)
    with pytest.raises(MissingPackageError, match="'s3fs' is not installed here") as told:
        find_groups(["s3://lab/a.tif"])
    assert told.value.hint == "Install it with: pip install 'vitascope[s3]'."


def test_an_address_is_itself_again_and_paths_of_windows_are_none():
    assert str(StoreUrl.parse("S3://lab/a/b.tif")) == "s3://lab/a/b.tif"
    assert os.fspath(mirrors.local("C:\\plates")) == "C:\\plates"
