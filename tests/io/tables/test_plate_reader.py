from __future__ import annotations

import pytest

from vitascope.core.errors import IncompleteError, InputError
from vitascope.core.well import Well
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export, read_screen

ENVISION = """Plate information
Plate,Repeat,Barcode,Chamber temperature at start,
7,1,,N/A,

Background information
Plate,Label,Result,Signal,
7,US LUM 384 (cps),0,95824,

Calculated results: Crosstalk = Crosstalk correction
,01,02,03,
A,{c[0]},{c[1]},{c[2]},
B,{c[3]},{c[4]},{c[5]},

Plate information
Plate,Repeat,Barcode,
7,1,,

Results for US LUM 384 (cps) -  channel 0 (CPS)
,01,02,03,
A,{r[0]},{r[1]},{r[2]},
B,{r[3]},{r[4]},,

Basic assay information
Assay ID: ,1500
"""
ANALYST = """Read time:\t06/19/2007 04:43:25 PM
Kinetic read cycle:\t1  of  1
Barcode:\t{barcode}
Plate ID:\t#495
Light sensor:\tHC-124
Data:\tRAW DATA
Units:\trlu
\t1\t2\t3
A\t{v[0]:.2f}\t{v[1]:.2f}\t{v[2]:.2f}
B\t{v[3]:.2f}\t{v[4]:.2f}\t{v[5]:.2f}
"""
WELLS = ["A01", "A02", "A03", "B01", "B02", "B03"]


def write(path, text):
    path.write_text(text, newline="")
    return path


def test_an_envision_export_gives_what_was_measured_and_what_was_calculated(tmp_path):
    text = ENVISION.format(c=range(10, 16), r=range(20, 26))
    table = read_reader_export(write(tmp_path / "e.csv", text)).set_index("well")
    assert set(table["plate"]) == {""}  # the only plate; a number is no name
    assert table["signal"].fillna(-1).to_dict() == dict(zip(WELLS, [20, 21, 22, 23, 24, -1], strict=True))
    assert table["signal_calculated"].to_dict() == dict(zip(WELLS, range(10, 16), strict=True))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_several_plates_of_an_analyst_export_keep_their_barcodes(tmp_path, newline):
    text = ANALYST.format(barcode="X1", v=[1, 2, 3, 4, 5, 6]) + ANALYST.format(barcode="X2", v=[7, 8, 9, 10, 11, 12])
    table = read_reader_export(write(tmp_path / "a.txt", text.replace("\n", newline)))
    assert table["plate"].tolist() == ["X1"] * 6 + ["X2"] * 6
    assert table["well"].tolist() == WELLS * 2
    assert table["signal"].tolist() == list(range(1, 13))


def test_two_measurements_of_one_plate_are_refused(tmp_path):
    text = ANALYST.format(barcode="X1", v=range(6)) * 2
    with pytest.raises(InputError, match="several grids of the plate 'X1'"):
        read_reader_export(write(tmp_path / "a.txt", text))


def test_a_word_in_place_of_a_number_is_said_and_what_is_meant_as_one_is_refused(tmp_path):
    path = write(tmp_path / "e.csv", ENVISION.format(c=range(6), r=["1.5", "OVER", "3", "4", "5"]))
    table = read_reader_export(path).set_index("well")
    assert table["signal"].isna().to_dict() == {
        "A01": False,
        "A02": True,
        **dict.fromkeys(WELLS[2:5], False),
        "B03": True,
    }
    assert [(word.well, word.text, word.line) for word in table.attrs["no_number"]] == [("A02", "OVER", 20)]
    assert [(p.well, p.kind) for p in read_plate_map(path).problems] == [("A02", "no_number")]
    with pytest.raises(InputError, match=r"value '1\.2\.3' of A02 \(line 20\)"):
        read_reader_export(write(path, ENVISION.format(c=range(6), r=["1.5", "1.2.3", "3", "4", "5"])))


def list_of(values, plate="P1"):
    return "".join(f"{plate}\t{well}\t{value}\n" for well, value in zip(WELLS, values, strict=True))


def test_a_list_of_plate_well_and_value(tmp_path):
    table = read_reader_export(write(tmp_path / "l.txt", list_of([5, 4, 3, 2, 1, "NA"])))
    assert table["well"].tolist() == WELLS
    assert table["signal"].tolist()[:5] == [5, 4, 3, 2, 1]
    assert table["signal"].isna().tolist() == [False] * 5 + [True]
    with pytest.raises(InputError, match="A01 twice"):
        read_reader_export(write(tmp_path / "l.txt", list_of(range(6)) + "P1\tA1\t3\n"))
    with pytest.raises(InputError, match=r"Line 7 .* tells no well: 'x'"):
        read_reader_export(write(tmp_path / "l.txt", list_of(range(6)) + "P1\tx\t3\n"))
    with pytest.raises(InputError, match="no values"):
        read_reader_export(write(tmp_path / "l.txt", "nothing here\n"))


CONF = "Wells: 96\rPlates: 2\rPlate\tWell\tContent\r*\t*\tsample\r*\tA0[1-2]\tneg\r*\tA02\tpos\r2\tA01\tother\r"
LOG = "Plate\tSample\tWell\tFlag\tComment\n1\t2\tB01\tNA\tContamination\n"
PLATES = "Filename\tPlate\tReplicate\na.txt\t1\t1\nb.txt\t1\t2\nc.txt\t2\t1\n"


@pytest.fixture
def screen(tmp_path):
    write(tmp_path / "Platelist.txt", PLATES)
    write(tmp_path / "Plateconf.txt", CONF)
    write(tmp_path / "Screenlog.txt", LOG)
    for number, name in enumerate("abc"):
        write(tmp_path / f"{name}.txt", list_of(range(10 * number, 10 * number + 6), f"x{number}"))
    return tmp_path / "Platelist.txt"


def test_a_screen_has_roles_replicates_and_flagged_wells(screen):
    table = read_screen(screen)
    assert table["plate"].tolist() == ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    assert table["signal"].tolist() == [*range(6), *range(10, 16), *range(20, 26)]
    roles = table.set_index(["plate", "well"])["role"]
    assert [roles["a", well] for well in WELLS] == ["negative", "positive", *["treated"] * 4]
    assert roles["c", "A01"] == "other"  # of this plate, before what is said of all
    assert roles["c", "A02"] == "positive"
    assert table[table["excluded"] != ""][["plate", "well", "excluded"]].to_numpy().tolist() == [
        ["b", "B01", "Contamination"]
    ]


def test_a_plate_that_is_listed_and_missing_is_said(screen):
    (screen.parent / "b.txt").unlink()
    with pytest.raises(IncompleteError, match=r"1 of the 3 files .* such as 'b\.txt'"):
        read_screen(screen)
    table = read_screen(screen, skip_missing=True)
    assert set(table["plate"]) == {"a", "c"}
    assert table.attrs["missing"] == ["b.txt"]


def test_all_of_these_open_as_plate_maps(screen, tmp_path):
    conf = read_plate_map(screen.parent / "Plateconf.txt")
    assert len(conf.table) == 96 + 1
    assert (conf.row("1", "A01")["role"], conf.row("2", "A01")["role"]) == ("negative", "other")
    whole = read_plate_map(screen)
    assert whole.row("b", "B01")["signal"] == 13
    assert whole.row("b", "B01")["excluded"] == "Contamination"
    assert whole.row("c", "A02")["role"] == "positive"
    one = read_plate_map(write(tmp_path / "e.csv", ENVISION.format(c=range(6), r=range(20, 26))))
    assert one.row("7", Well(1, 1))["signal"] == 24
    assert read_plate_map(screen.parent / "a.txt").row("x0", "B03")["signal"] == 5


def test_a_broken_configuration_is_said(screen):
    conf = screen.parent / "Plateconf.txt"
    write(conf, CONF.replace("96", "95"))
    with pytest.raises(InputError, match="plate of 95 wells"):
        read_plate_map(conf)
    write(conf, CONF.replace("A0[1-2]", "A0[1-"))
    with pytest.raises(InputError, match=r"wells 'A0\[1-' in line 5"):
        read_plate_map(conf)
