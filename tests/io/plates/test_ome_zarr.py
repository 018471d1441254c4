from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import zarr

from vitascope.core.errors import IncompleteError, OutputError, ParameterError, ReaderError
from vitascope.core.progress import run_to_end
from vitascope.io.filenames.member import Member
from vitascope.io.filenames.parse import parse_name
from vitascope.io.images.write import PictureFile, write_ome_tiff
from vitascope.io.plates.image_folder import plate_of_members
from vitascope.io.plates.ome_zarr_write import export_plate
from vitascope.io.plates.read import find_plates, open_plate

WELLS = ("B/2", "B/3", "C/11")


def pixels(well, field):
    return np.random.default_rng((WELLS.index(well), int(field))).integers(1, 4000, (2, 40, 50)).astype("uint16")


def write_plate(path, version="0.5", *, wells=WELLS, fields=("0", "1"), acquisitions=()):
    """Write an HCS plate by hand, from the specification."""
    zarr_format = 2 if version == "0.4" else 3

    def group(folder, ome):
        attributes = ome if version == "0.4" else {"ome": {"version": version, **ome}}
        zarr.open_group(str(folder), mode="w", zarr_format=zarr_format, attributes=attributes)

    tag = {"version": version} if version == "0.4" else {}
    about = {
        "name": "Screen",
        "rows": [{"name": name} for name in "ABCDEFGH"],
        "columns": [{"name": str(n)} for n in range(1, 13)],
        "wells": [{"path": w, "rowIndex": ord(w[0]) - 65, "columnIndex": int(w[2:]) - 1} for w in wells],
        "field_count": len(fields),
        **tag,
    }
    if acquisitions:
        about["acquisitions"] = [{"id": a} for a in acquisitions]
    group(path, {"plate": about})
    for well in wells:
        images = [
            {"path": f, **({"acquisition": acquisitions[i]} if acquisitions else {})} for i, f in enumerate(fields)
        ]
        group(path / well, {"well": {"images": images, **tag}})
        for field in fields:
            axes = [
                {"name": "c", "type": "channel"},
                *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx"),
            ]
            scale = [{"type": "scale", "scale": [1, 0.65, 0.65]}]
            levels = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}], **tag}
            group(
                path / well / field,
                {"multiscales": [levels], "omero": {"channels": [{"label": n} for n in ("BF", "DNA")]}},
            )
            keys = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
            image = pixels(well, field)
            array = zarr.create_array(
                str(path / well / field / "0"), shape=image.shape, chunks=(1, 40, 50), dtype="uint16",
                zarr_format=zarr_format, config={"write_empty_chunks": True}, **keys,
            )  # fmt: skip
            array[...] = image
    return path


def edit(folder, change):
    file = folder / "zarr.json" if (folder / "zarr.json").is_file() else folder / ".zattrs"
    found = json.loads(file.read_text())
    change(found["attributes"]["ome"] if "attributes" in found else found)
    file.write_text(json.dumps(found))


@pytest.mark.fault("B21")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_opens_with_wells_fields_channels_and_scale(tmp_path, version):
    plate = open_plate(write_plate(tmp_path / "p.zarr", version))
    assert (plate.name, plate.layout, plate.rows, plate.columns) == ("Screen", f"ome-zarr {version}", 8, 12)
    assert [site.id for site in plate] == [f"Screen_{w}_{f}" for w in ("B02", "B03", "C11") for f in "01"]
    assert plate.channels == ("BF", "DNA")
    assert plate.warnings == ()
    for site in plate:
        image = site.open()
        well = f"{str(site.well)[0]}/{site.well.column + 1}"
        np.testing.assert_array_equal(np.asarray(image.array), pixels(well, site.place.field))
        assert image.pixel_size_um == 0.65
        assert image.channel_names == ("BF", "DNA")


def test_other_versions_and_no_wells_are_refused(tmp_path):
    path = write_plate(tmp_path / "p.zarr", wells=WELLS[:1], fields=("0",))
    edit(path, lambda ome: ome.update(version="0.9"))
    with pytest.raises(ReaderError, match=r"version 0\.9"):
        open_plate(path)
    edit(path, lambda ome: ome.update(version="0.5", plate={"wells": []}))
    with pytest.raises(ReaderError, match="lists no wells"):
        open_plate(path)


def test_acquisitions_are_times(tmp_path):
    plate = open_plate(write_plate(tmp_path / "p.zarr", wells=WELLS[:1], acquisitions=(3, 7)))
    assert [(site.place.field, site.place.time) for site in plate] == [("0", "3"), ("1", "7")]


@pytest.mark.fault("B18")
def test_a_well_or_field_that_is_listed_and_missing_keeps_its_place(tmp_path):
    path = write_plate(tmp_path / "p.zarr")
    shutil.rmtree(path / "B" / "2")
    shutil.rmtree(path / "B" / "3" / "1")
    plate = open_plate(path)
    assert [site.id for site in plate if site.problem] == ["Screen_B02", "Screen_B03_1"]
    assert [str(well) for well in plate.wells] == ["B02", "B03", "C11"]
    with pytest.raises(IncompleteError, match="B02 is listed"):
        plate["Screen_B02"].open()
    assert plate["Screen_B03_0"].open().sizes["X"] == 50


@pytest.mark.fault("B19")
def test_a_well_that_is_there_and_not_listed_is_left_out_and_said(tmp_path):
    path = write_plate(tmp_path / "p.zarr")
    edit(path, lambda ome: ome["plate"]["wells"].pop())
    plate = open_plate(path)
    assert [str(well) for well in plate.wells] == ["B02", "B03"]
    assert "C/11" in plate.warnings[0]


@pytest.mark.fault("B16")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_missing_chunk_never_reads_as_zeros_without_a_word(tmp_path, version):
    path = write_plate(tmp_path / "p.zarr", version)
    chunk = path / "B" / "2" / "0" / "0" / ("c/1/0/0" if version == "0.5" else "1/0/0")
    chunk.unlink()
    plate = open_plate(path)
    assert "empty_chunks" in plate["Screen_B02_0"].open().flags
    assert "empty_chunks" not in plate["Screen_B02_1"].open().flags
    assert np.asarray(plate["Screen_B02_1"].open().array).min() > 0


@pytest.mark.fault("B23")
@pytest.mark.parametrize("well", ["../B/2", "/etc/A/1", "B/2/..", "no well", ""])
def test_well_paths_that_lead_out_or_are_none_are_left_out(tmp_path, well):
    path = write_plate(tmp_path / "p.zarr")
    edit(path, lambda ome: ome["plate"]["wells"].append({"path": well, "rowIndex": 0, "columnIndex": 0}))
    plate = open_plate(path)
    assert [str(one) for one in plate.wells] == ["B02", "B03", "C11"]
    assert "is no well" in plate.warnings[0]


@pytest.mark.fault("B24")
def test_a_link_out_of_the_plate_is_refused(tmp_path):
    path = write_plate(tmp_path / "p.zarr")
    shutil.move(path / "B" / "2" / "0", tmp_path / "elsewhere")
    (path / "B" / "2" / "0").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ReaderError, match="leads out"):
        open_plate(path)["Screen_B02_0"].open()


@pytest.mark.fault("B13")
def test_broken_metadata_of_a_well_are_its_own_trouble(tmp_path):
    path = write_plate(tmp_path / "p.zarr")
    (path / "B" / "2" / "zarr.json").write_text("{")
    edit(path / "B" / "3", lambda ome: ome.pop("well"))
    plate = open_plate(path)
    assert [site.id for site in plate if site.problem] == ["Screen_B02", "Screen_B03"]
    assert plate["Screen_C11_0"].open().name == "Screen_C11_0"


def test_plates_in_a_folder_are_all_offered(tmp_path):
    for name in ("day10.zarr", "day2.zarr"):
        path = write_plate(tmp_path / name, wells=WELLS[:1], fields=("0",))
        edit(path, lambda ome: ome["plate"].pop("name"))
    assert [plate.name for plate in find_plates(tmp_path)] == ["day2", "day10"]


def folder_of_tiffs(folder, times=("1", "2")):
    for well in ("B02", "C11"):
        for field in ("1", "2"):
            for time in times:
                image = np.random.default_rng((ord(well[0]), int(field), int(time))).integers(0, 9, (2, 20, 30))
                image[0] = 0  # a channel of nothing is written too
                name = f"P_{well}_s{field}_t{time}"
                write_ome_tiff(
                    folder / f"{name}.ome.tif", PictureFile(image, "CYX", "uint16", name, ("BF", "DNA"), 0.5)
                )
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_export_and_back_is_the_same_plate_pixel_for_pixel(tmp_path, version):
    plate = open_plate(folder_of_tiffs(tmp_path / "p"))
    done = run_to_end(export_plate(plate, tmp_path / "out.zarr", version))
    assert (done.written, done.failed) == (8, ())
    back = open_plate(tmp_path / "out.zarr")
    assert [site.id for site in back] == [site.id for site in plate]
    assert (back.rows, back.columns, back.times) == (plate.rows, plate.columns, ("1", "2"))
    for one, other in zip(plate, back, strict=True):
        a, b = one.open(), other.open()
        np.testing.assert_array_equal(np.asarray(a.array), np.asarray(b.array))
        assert (a.axes, a.channel_names, a.pixel_size_um) == (b.axes, b.channel_names, b.pixel_size_um)
    models = pytest.importorskip(f"ome_zarr_models.v0{version[-1]}")
    models.HCS.from_zarr(zarr.open_group(str(tmp_path / "out.zarr"), mode="r"))


def test_export_names_the_images_it_could_not_read(tmp_path):
    folder = folder_of_tiffs(tmp_path / "p", times=("1",))
    (folder / "P_B02_s1_t1.ome.tif").write_bytes(b"II*\0 no image")
    done = run_to_end(export_plate(open_plate(folder), tmp_path / "out.zarr"))
    assert done.written == 3
    assert [name for name, _ in done.failed] == ["P_B02_1_t1"]
    assert [site.id for site in open_plate(tmp_path / "out.zarr").in_well("B02")] == ["P_B02_2_t1"]


def test_export_is_whole_or_not_there(tmp_path):
    plate = open_plate(folder_of_tiffs(tmp_path / "p", times=("1",)))
    steps = export_plate(plate, tmp_path / "out.zarr")
    next(steps)
    next(steps)
    steps.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["p"]
    with pytest.raises(ParameterError, match=r"\.zarr"):
        run_to_end(export_plate(plate, tmp_path / "out"))
    (tmp_path / "old.zarr").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        run_to_end(export_plate(plate, tmp_path / "old.zarr"))


def test_a_plate_can_be_made_of_files_from_anywhere(tmp_path):
    paths = [tmp_path / "a" / "A01.tif", tmp_path / "a" / "A02.tif"]
    plate = plate_of_members("mine", tmp_path, [Member(path, parse_name(path)) for path in paths])
    assert [site.id for site in plate] == ["mine_A01", "mine_A02"]
