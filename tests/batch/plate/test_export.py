import builtins

import numpy as np
import openpyxl
import pandas as pd
import pytest

from vitascope.batch.plate.export import export_table
from vitascope.core.errors import MissingPackageError, OutputError, ParameterError

TABLE = pd.DataFrame(
    {"well": ["A01", "=cmd|calc"], "atp": [1234.5, np.nan], "flags": ["", "empty_well"], "time": [None, "d2"]}
)


def test_an_excel_file_holds_numbers_and_text_and_no_formula(tmp_path):
    path = export_table(TABLE, tmp_path / "wells.XLSX")
    rows = list(openpyxl.load_workbook(path).active.values)
    assert rows[0] == ("well", "atp", "flags", "time")
    assert rows[1] == ("A01", 1234.5, None, None)
    assert rows[2] == ("'=cmd|calc", None, "empty_well", "d2")
    assert openpyxl.load_workbook(path).active["A3"].data_type == "s"


def test_csv_and_parquet_read_back_as_they_were(tmp_path):
    found = pd.read_csv(export_table(TABLE, tmp_path / "wells.csv"))
    assert found["atp"].tolist()[0] == 1234.5
    assert found["well"].tolist() == ["A01", "'=cmd|calc"]
    found = pd.read_parquet(export_table(TABLE, tmp_path / "wells.parquet"))
    assert found["well"].tolist() == ["A01", "=cmd|calc"]
    np.testing.assert_array_equal(found["atp"], TABLE["atp"])


def test_other_endings_and_folders_that_are_files_are_told(tmp_path):
    with pytest.raises(ParameterError, match=r"\.csv, \.xlsx or \.parquet"):
        export_table(TABLE, tmp_path / "wells.doc")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        export_table(TABLE, tmp_path / "file" / "wells.xlsx")


def test_without_openpyxl_the_package_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "openpyxl":
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingPackageError, match="openpyxl"):
        export_table(TABLE, tmp_path / "wells.xlsx")
    assert not (tmp_path / "wells.xlsx").exists()
