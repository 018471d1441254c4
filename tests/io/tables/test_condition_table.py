"""Condition tables of Fractal, read and written as plate maps."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import zarr

from vitascope.core.errors import InputError, ReaderError
from vitascope.io.tables.plate_map import PlateMap, read_plate_map

FRAME = pd.DataFrame(
    {
        "row": ["A", "B"],
        "column": ["01", "2"],
        "drug": ["DMSO", "X"],
        "concentration_nM": [0.0, 1.5],
        "cell line": "HeLa",
    }
)


def make_plate(folder, zarr_format=2, wells=("A/01", "B/2")):
    about = {"plate": {"wells": [{"path": path} for path in wells], "version": "0.4"}}
    root = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    root.attrs.update(about if zarr_format == 2 else {"ome": {"version": "0.5", **about}})
    return root


def add_table(root, folder, backend, frame=FRAME, name="condition"):
    tables = root.require_group("tables")
    tables.attrs["tables"] = [*tables.attrs.get("tables", []), name]
    group = tables.create_group(name)
    group.attrs.update({"type": "condition_table", "table_version": "1", "backend": backend})
    home = folder / "tables" / name
    if backend == "csv":
        frame.to_csv(home / "table.csv", index=False)
    elif backend == "parquet":
        frame.to_parquet(home / "table.parquet")
    elif backend == "json":
        group.create_group("table").attrs.update(json.loads(json.dumps(frame.to_dict("list"))))
    elif backend.startswith("anndata"):
        texts = [one for one in frame if frame[one].dtype != float]
        obs = group.create_group("obs")
        obs.attrs.update({"column-order": texts, "_index": "_index", "encoding-type": "dataframe"})
        for one in texts[1:]:
            obs.create_array(one, data=frame[one].to_numpy(dtype="U9"))
        words = sorted(set(frame[texts[0]]))
        kinds = obs.create_group(texts[0])
        kinds.create_array("codes", data=frame[texts[0]].map(words.index).to_numpy("int8"))
        kinds.create_array("categories", data=pd.Series(words).to_numpy(dtype="U9"))
        numbers = [one for one in frame if frame[one].dtype == float]
        group.create_array("X", data=frame[numbers].to_numpy())
        var = group.create_group("var")
        var.attrs["_index"] = "_index"
        var.create_array("_index", data=pd.Series(numbers).to_numpy(dtype="U32"))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("backend", ["csv", "parquet", "json", "anndata", "anndata_v1"])
@pytest.mark.filterwarnings("ignore:.*(does not have a Zarr V3|Zarr format 3 specification).*")
def test_tables_of_every_backend_are_maps(tmp_path, backend, zarr_format):
    add_table(make_plate(tmp_path / "p.zarr", zarr_format), tmp_path / "p.zarr", backend)
    for path in (tmp_path / "p.zarr", tmp_path / "p.zarr" / "tables" / "condition"):
        plate_map = read_plate_map(path)
        assert plate_map.table["well"].tolist() == ["A01", "B02"]
        assert plate_map.table["treatment"].tolist() == ["DMSO", "X"]
        assert plate_map.table["dose"].tolist() == [0.0, 1.5]
        assert plate_map.table["dose_unit"].tolist() == ["nM", "nM"]
        assert plate_map.table["role"].tolist() == ["negative", "treated"]
        assert plate_map.table["cell line"].tolist() == ["HeLa", "HeLa"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_map_comes_back_from_a_plate_as_it_was(tmp_path, zarr_format):
    root = make_plate(tmp_path / "p.zarr", zarr_format)
    root.create_group("A")
    rows = [
        {"well": "A1", "treatment": "DMSO", "dose": "0", "dose_unit": "µM", "role": "negative", "donor 2": "x"},
        {"well": "B02", "treatment": "X, long", "dose": "0.25", "dose_unit": "µM", "role": "treated", "donor 2": ""},
    ]
    plate_map = PlateMap.from_rows(rows)
    for _ in range(2):  # the second replaces the first
        plate_map.save(tmp_path / "p.zarr")
    again = read_plate_map(tmp_path / "p.zarr")
    pd.testing.assert_frame_equal(again.table, plate_map.table)
    opened = zarr.open_group(tmp_path / "p.zarr", mode="r")
    assert opened["tables"].attrs["tables"] == ["condition"]
    assert dict(opened["tables/condition"].attrs) == {"type": "condition_table", "table_version": "1", "backend": "csv"}
    written = pd.read_csv(tmp_path / "p.zarr" / "tables" / "condition" / "table.csv", dtype=str)
    assert written[["row", "column"]].to_numpy().tolist() == [["A", "01"], ["B", "2"]]  # as the plate spells its wells


def test_rows_of_a_wells_images_are_one_and_contradictions_are_refused(tmp_path):
    frame = pd.DataFrame({"row": "A", "column": "1", "path_in_well": ["0", "1"], "drug": ["X", "X"]})
    add_table(make_plate(tmp_path / "p.zarr"), tmp_path / "p.zarr", "csv", frame)
    assert len(read_plate_map(tmp_path / "p.zarr").table) == 1
    add_table(make_plate(tmp_path / "q.zarr"), tmp_path / "q.zarr", "csv", frame.assign(drug=["X", "Y"]))
    with pytest.raises(InputError, match="A01"):
        read_plate_map(tmp_path / "q.zarr")


def test_what_is_no_condition_table_is_said(tmp_path):
    root = make_plate(tmp_path / "p.zarr")
    with pytest.raises(ReaderError, match="holds no condition table"):
        read_plate_map(tmp_path / "p.zarr")
    add_table(root, tmp_path / "p.zarr", "csv", FRAME.drop(columns="row"))
    with pytest.raises(InputError, match="names no wells"):
        read_plate_map(tmp_path / "p.zarr")
    add_table(root, tmp_path / "p.zarr", "csv", name="second")
    with pytest.raises(InputError, match="2 condition tables") as caught:
        read_plate_map(tmp_path / "p.zarr")
    assert "second" in caught.value.hint
    assert len(read_plate_map(tmp_path / "p.zarr" / "tables" / "second").table) == 2
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReaderError, match="no OME-Zarr plate"):
        PlateMap.from_rows([{"well": "A1"}]).save(tmp_path / "empty.zarr")
