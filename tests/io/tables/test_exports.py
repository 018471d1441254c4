"""Exports in the layouts that instruments write, made small: every value is found again at its well and kind."""

from __future__ import annotations

import numpy as np
import openpyxl
import pytest

from vitascope.core.errors import InputError
from vitascope.core.well import Well
from vitascope.io.tables.measured_values import read_amounts
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export

LETTERS = "ABCDEFGH"


def plate(start, rows=8, columns=12, step=1.0):
    """Return values by well, all different, counted along the rows."""
    return {Well(r, c): start + step * (r * columns + c) for r in range(rows) for c in range(columns)}


def grid(values, mark=",", corner="", pad=False, end="", columns=None):
    """Write values as a plate-shaped block; ``pad`` writes the columns as 01, 02 …, ``end`` goes behind each row."""
    wide = columns or 1 + max(well.column for well in values)
    numbers = [f"{n:02}" if pad else str(n) for n in range(1, wide + 1)]
    lines = [mark.join([corner, *numbers]) + ("" if not pad else mark)]
    for row in sorted({well.row for well in values}):
        cells = [str(values.get(Well(row, column), "")) for column in range(wide)]
        lines.append(mark.join([str(Well(row, 0))[:-2], *cells]) + (f"{mark}{end}" if end else mark if pad else ""))
    return "\n".join(lines) + "\n"


def check(table, column, values, plate_name=""):
    found = table[table["plate"] == plate_name].set_index("well")[column].dropna()
    assert found.to_dict() == {str(well): value for well, value in values.items()}


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


INFO = "Plate information \nPlate,Repeat,Barcode,Height,{more}Measurement date,\n{n},{r},{bc},6.5,{told}1/2/2024,\n\n"
BACKGROUND = "Background information\nPlate,Label,Result,Signal,Flashes/Time,\n{n},LUM,0,162,50,\n{n},LUM,0,260,50,\n\n"
TRAILER = """
Basic assay information
Assay ID: ,,,,3134
Serial#: ,,,,="1050209"

Coordinates of corners:
14.3 mm x------------------- x 113.3 mm

Platemap:
Plate,,,,1
Group,,,,1

{dashes}
 - - Undefined

Calculations:
Plate,,,,1
 Formula index,,,,Calc 1

Operations:
Plate 1
  Group 1
    Measurement
      Label,,,,LUM(1)

Exported with EnVision Workstation version 1.14
"""


def envision(blocks, header="{title}\n"):
    text = ""
    for number, repeat, barcode, title, values in blocks:
        calculated = "Calc 1: ratio" if title.startswith("Calculated") else ""
        more, told = ("Formula,", f"{calculated},") if calculated else ("Label,", "LUM(1),")
        text += INFO.format(n=number, r=repeat, bc=barcode, more=more, told=told) + BACKGROUND.format(n=number)
        text += header.format(title=title) + values + "\n"
    dashes = grid(dict.fromkeys(plate(0), "- "), pad=True)
    return text + TRAILER.format(dashes=dashes)


BARCODE = '"=""BC17"""'
NONE = '"="""""'
DATES = ('"=""8/22/2023 11:01:43 AM"""', '"=""8/22/2023 12:16:57 PM"""')


def test_envision_with_a_barcode_three_kinds_of_value_and_a_plate_map_behind(tmp_path):
    one, two, ratio = plate(1), plate(1000), plate(0.5)
    text = envision(
        [
            ("1", "1", BARCODE, "Calculated results: Calc 1: ratio", grid(ratio, pad=True)),
            ("1", "1", BARCODE, "Results for HTRF [Eu](1) - channel 1 window 1 (Counts)", grid(one, pad=True)),
            ("1", "1", BARCODE, "Results for HTRF [Eu](1) - channel 2 window 1 (Counts)", grid(two, pad=True)),
        ]
    )
    path = write(tmp_path / "e.csv", text)
    table = read_reader_export(path)
    check(table, "signal HTRF [Eu](1) - channel 1 window 1 (Counts)", one, "BC17")
    check(table, "signal HTRF [Eu](1) - channel 2 window 1 (Counts)", two, "BC17")
    check(table, "signal_calculated", ratio, "BC17")
    assert set(read_plate_map(path).table["plate"]) == {"BC17"}
    with pytest.raises(InputError, match="several kinds of value"):
        read_amounts(path)
    amounts = read_amounts(path, "HTRF [Eu](1) - channel 2 window 1 (Counts)")
    assert {a.well: a.value for a in amounts.rows} == {str(well): value for well, value in two.items()}


@pytest.mark.parametrize("barcodes", [(NONE, NONE), ("", ""), DATES])
def test_envision_plates_without_a_barcode_are_numbered(tmp_path, barcodes):
    blocks = [
        (str(n + 1), "1", code, "Results for LUM (CPS)", grid(plate(1000 * n), pad=True))
        for n, code in enumerate(barcodes)
    ]
    table = read_reader_export(write(tmp_path / "e.csv", envision(blocks)))
    assert table["plate"].unique().tolist() == ["1", "2"]
    check(table, "signal", plate(1000), "2")
    alone = read_reader_export(write(tmp_path / "e.csv", envision(blocks[:1])))
    check(alone, "signal", plate(0))


def test_envision_plates_without_labels_are_told_by_their_size(tmp_path):
    def bare(values):
        rows = [[str(values[Well(r, c)]) for c in range(12)] for r in range(8)]
        return "".join(",".join(row) + ",\n" for row in rows)

    blocks = [("1", "1", "", "Calculated", bare(plate(0.5))), ("1", "1", "", "Results", bare(plate(1)))]
    table = read_reader_export(write(tmp_path / "e.csv", envision(blocks, header="")))
    check(table, "signal", plate(1))
    check(table, "signal_calculated", plate(0.5))


KALEIDO = """EnSight Results from
Protocol Name,foo
Measurement Date,2023-05-17 16:21:30


Result for Luminescence 1
Barcode,Repeat,Loop no,Well scan x,Exc wl / filter,
{barcode},1,,,,

{values}

Measurement Information
Measurement Started,,2023-05-17 16:21:30
Barcode,,{barcode}

Plate Type Information
Number of Rows,,12
Plate Type Coordinates [mm]
,,X,Y
,Upper Left,14.38,11.24
,Lower Right,113.38,74.24

Platemap
{dashes}

Measurement Sequence
Luminescence 1

Exported with Kaleido 3.0.3067.117
"""


@pytest.mark.parametrize(("barcode", "name"), [("B-00042", "B-00042"), ("V-2023-05-17 16:21:29", "")])
def test_kaleido(tmp_path, barcode, name):
    dashes = grid(dict.fromkeys(plate(0), "-"))
    text = KALEIDO.format(barcode=barcode, values=grid(plate(7)), dashes=dashes)
    check(read_reader_export(write(tmp_path / "k.csv", text)), "signal", plate(7), name)


MARS = """User: USER{m}Path: C:\\Program Files\\BMG{m}Test run no.: 412
Test name: Hrp{m}Date: 10/16/2024{m}Time: 3:09:52 PM

ID1: 92A_4{m}ID2:{m}ID3:
Luminescence

{title}

"""


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_mars_with_some_rows_of_1536_wells_the_last_six_in_lower_case(tmp_path, mark):
    values = {Well(row, c): 100 * row + c for row in (0, 6, 12, 18, 24, 26, 31) for c in range(48)}
    text = MARS.format(m=mark, title="Raw Data (No filter)") + grid(values, mark)
    for upper, lower in zip(("AA", "AF"), "af", strict=True):
        text = text.replace(f"\n{upper}{mark}", f"\n{lower}{mark}")
    check(read_reader_export(write(tmp_path / "m.csv", text)), "signal", values)
    half = {well: value for well, value in values.items() if well.row in (26, 31)}
    text = MARS.format(m=mark, title="Raw Data") + grid(half, mark).replace("\nAA", "\na").replace("\nAF", "\nf")
    with pytest.raises(InputError, match=r"lower case \(line 10 .*A to F or AA to AF"):
        read_reader_export(write(tmp_path / "m.csv", text))


def test_mars_with_two_kinds_of_raw_data(tmp_path):
    text = MARS.format(m=",", title="Raw Data (450)") + grid(plate(1)) + "\nRaw Data (650)\n\n" + grid(plate(500))
    table = read_reader_export(write(tmp_path / "m.csv", text))
    check(table, "signal Raw Data (450)", plate(1))
    check(table, "signal Raw Data (650)", plate(500))


GEN5 = """

Software Version\t3.12.08


Plate Number\tPlate 1
Date\t4/11/2024
Reader Type:\tSynergy H1

Procedure Details

Plate Type\t96 WELL PLATE (Use plate lid)
Read\tabs450
\tAbsorbance Endpoint
\tWavelengths:  450

"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_gen5_with_words_for_what_could_not_be_read(tmp_path, encoding):
    numbers = {well: round(value, 3) for well, value in plate(2.001, step=0.001).items()}
    words = {Well(1, 6): "OVRFLW", Well(3, 11): "MISSED", Well(7, 0): "?????"}
    text = GEN5 + "Results\n" + grid({w: words.get(w, f"{v:.3f}") for w, v in numbers.items()}, "\t", end="abs450:450")
    path = write(tmp_path / "g.txt", text, encoding)
    check(read_reader_export(path), "signal", {w: v for w, v in numbers.items() if w not in words})
    problems = read_plate_map(path).problems
    assert {(p.well, p.kind) for p in problems} == {("B07", "no_number"), ("D12", "no_number"), ("H01", "no_number")}


def gen5_several(kinds, rows="ABCDEFGH"):
    lines = ["\t" + "\t".join(str(n) for n in range(1, 13))]
    for row in range(len(rows)):
        for at, (name, values) in enumerate(kinds.items()):
            cells = [str(values[Well(row, column)]) for column in range(12)]
            lines.append("\t".join([rows[row] if at == 0 else "", *cells, name]))
    return "\n".join(lines) + "\n"


def test_gen5_with_several_kinds_in_each_row_and_a_layout(tmp_path):
    kinds = {
        "260:260": {well: 1 + n for n, well in enumerate(plate(0))},
        "260:280": plate(200),
        "Ratio 260/280": plate(0.25),
    }
    layout = {"Well ID": {well: f"SPL{n}" for n, well in enumerate(plate(0))}, "Conc/Dil": plate(3)}
    text = GEN5 + "Layout\n" + gen5_several(layout) + "\nActual Temperature:\t26.3\n\nResults\n" + gen5_several(kinds)
    text += "\nCurve Fitting Results\n\nCurve Name\tCurve Formula\tA\tB\nStd\tY = A*X\t1.1\t2\n"
    table = read_reader_export(write(tmp_path / "g.txt", text))
    for name, values in kinds.items():
        check(table, f"signal {name}", values)
    check(table, "sample", layout["Well ID"])
    check(table, "Conc/Dil", {well: str(value) for well, value in layout["Conc/Dil"].items()})


def softmax(blocks, rows=8, reduced=None, waves="426 450"):
    told = [
        "Plate:",
        "Plate1",
        "1.3",
        "PlateFormat",
        "Endpoint",
        "Absorbance",
        "Raw",
        "FALSE",
        "1",
        *[""] * 5,
        "2",
        waves,
    ]
    numbers = [str(n) for n in range(1, 13)]
    lines = ["##BLOCKS= 1", "Note:", "Basic 1\t2\t3", "~End", "\t".join([*told, "1", "12", "96", "1", str(rows)])]
    lines.append("\t".join(["", "Temperature(°C)", *numbers, *(["", *numbers] * (len(blocks) - 1))]))
    for row in range(rows):
        cells: list[str] = []
        for at, values in enumerate(blocks):
            cells += ([""] if at else []) + [str(values.get(Well(row, c), "")) for c in range(12)]
        lines.append("\t".join(["", "35" if row == 0 else "", *cells]))
    if reduced:
        lines += ["", "\t".join(["", "", *numbers])]
        lines += ["\t".join(["", "", *(str(reduced[Well(row, c)]) for c in range(12))]) for row in range(rows)]
    lines += ["~End", "Group: Standards", "Sample\tWells\tValues", "St1\tA1\t0.1", "~End", "Original Filename: x"]
    return "\n".join(lines)


def test_softmax_pro_with_two_wavelengths_side_by_side_and_what_was_reduced(tmp_path):
    one, two, reduced = plate(0.5), plate(200.5), plate(400.5)
    path = write(tmp_path / "s.txt", softmax([one, two], reduced=reduced), "utf-16")
    table = read_reader_export(path)
    check(table, "signal Absorbance 426", one)
    check(table, "signal Absorbance 450", two)
    check(table, "signal_calculated", reduced)


def test_softmax_pro_rows_without_a_value_do_not_move_the_others(tmp_path):
    values = {well: value for well, value in plate(0.5).items() if well.row not in (0, 3)}
    check(read_reader_export(write(tmp_path / "s.txt", softmax([values]))), "signal", values)
    cut = softmax([values]).split("~End\nGroup")[0]
    with pytest.raises(InputError, match=r"line 5 .* has no end"):
        read_reader_export(write(tmp_path / "s.txt", cut))
    kinetic = softmax([plate(0.5)]).replace("~End\nGroup", "00:05\t35\t" + "\t".join(["1"] * 12) + "\n~End\nGroup")
    with pytest.raises(InputError, match=r"second read|outside"):
        read_reader_export(write(tmp_path / "s.txt", kinetic))


def test_softmax_pro_in_columns(tmp_path):
    told = "Plate:\tPlate1\t1.3\tTimeFormat\tEndpoint\tLuminescence\tRaw"
    wells = "\t".join(str(well) for well in plate(0))
    text = (
        f"##BLOCKS= 1\n{told}\n\tTemperature(°C)\t{wells}\n\t22\t" + "\t".join(map(str, plate(5).values())) + "\n~End\n"
    )
    check(read_reader_export(write(tmp_path / "s.txt", text)), "signal", plate(5))


def workbook(path, sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def cells_of(values, corner, columns=12):
    rows = sorted({well.row for well in values})
    return [
        [corner, *range(1, columns + 1)],
        *([LETTERS[r], *(values[Well(r, c)] for c in range(columns))] for r in rows),
    ]


def test_skanit_with_samples_beside_the_values(tmp_path):
    samples = {well: f"Un{n:04}" for n, well in enumerate(plate(0))}
    measured = [["Measurement results"], ["x.skax"], [], ["Absorbance 1"], ["Wavelength: 450 nm"], ["Plate 1"], []]
    sheets = {
        "General information": [["Report generated with SW version", None, "SkanIt Software 7.0"]],
        "Layout definitions": [["Plate template", "96"], ["Plate layout"], *cells_of(samples, "Sample")],
        "Absorbance 1_01": [
            *measured,
            *cells_of(plate(1.5), "Abs"),
            [],
            *cells_of(samples, "Sample"),
            [],
            ["Autoloading range A1 - H12"],
        ],
    }
    del sheets["Layout definitions"]
    table = read_reader_export(workbook(tmp_path / "s.xlsx", sheets))
    check(table, "signal", plate(1.5))
    check(table, "sample", samples)


def test_magellan_lists_wells_with_its_account_behind(tmp_path):
    rows = [["Well positions", "Layout", "Label1", "Label2"]]
    rows += [
        [str(well).replace("0", "", 1) if well.column < 9 else str(well), "SM1_1", v, v + 100]
        for well, v in plate(1).items()
    ]
    rows += [[], ["Date of measurement: 2023-10-05/Time of measurement: 12:42:10"], ["450 nm"], ["Unit: OD"]]
    table = read_reader_export(workbook(tmp_path / "m.xlsx", {"Sheet1": rows}))
    check(table, "signal Label1", plate(1))
    check(table, "signal Label2", plate(101))
    assert any("left out" in note for note in table.attrs["notes"])


def test_spark_grids_with_words_and_settings_around(tmp_path):
    values = {**plate(100), Well(2, 3): "OVER"}
    rows = [["Method name: x"], ["Application: SparkControl"], [], ["Mode", "Luminescence"], ["Name", "LUM-A"]]
    rows += [["Start Time", "2023-10-05 12:42:10"], ["Temperature [°C]", 25.1], [], *cells_of(values, "<>"), []]
    rows += [["End Time", "2023-10-05 12:44:10"]]
    table = read_reader_export(workbook(tmp_path / "s.xlsx", {"Plate 1": rows}))
    check(table, "signal", {well: value for well, value in values.items() if value != "OVER"})
    assert [(word.well, word.text) for word in table.attrs["no_number"]] == [("C04", "OVER")]


def test_plater_tables_lie_below_each_other_with_their_name_in_the_corner(tmp_path):
    drugs = {well: f"drug {well}" for well in plate(0, 3, 4) if well != Well(1, 1)}
    text = grid(drugs, corner="Drug") + "\n" + grid(plate(0.5, 3, 4), corner="Concentration") + "\n"
    table = read_plate_map(write(tmp_path / "p.csv", text)).table.set_index("well")
    assert {w: t for w, t in table["treatment"].items() if t} == {str(well): text for well, text in drugs.items()}
    assert table["dose"].to_dict() == {str(well): value for well, value in plate(0.5, 3, 4).items()}


def test_a_series_over_time_beside_a_result_is_said_and_alone_refused(tmp_path):
    wells = "\t".join(str(well) for well in plate(0))
    series = f"Time\tT° 600\t{wells}\n" + "".join(
        f"0:0{n}:22\t30.0\t" + "\t".join(["0.5"] * 96) + "\n" for n in range(3)
    )
    path = write(tmp_path / "g.txt", GEN5 + "600\n\n" + series + "\nResults\n" + grid(plate(1), "\t", end="Max V"))
    table = read_reader_export(path)
    check(table, "signal", plate(1))
    assert any("series over time" in note for note in table.attrs["notes"])
    with pytest.raises(InputError, match="series over time"):
        read_reader_export(write(path, GEN5 + series))


def test_a_single_line_of_wells_is_a_list(tmp_path):
    wells = "\t".join(str(well) for well in plate(0))
    text = GEN5 + f"\nTime\t{wells}\n0:00\t" + "\t".join(str(value) for value in plate(3).values()) + "\n"
    check(read_reader_export(write(tmp_path / "g.txt", text)), "signal", plate(3))


def test_a_list_with_a_header_called_wells(tmp_path):
    text = "Wells;Signal\nA1;5,5\nH12;7\n"
    table = read_reader_export(write(tmp_path / "l.csv", text))
    assert table.set_index("well")["signal"].to_dict() == {"A01": 5.5, "H12": 7.0}
    assert read_plate_map(tmp_path / "l.csv").table["Signal"].tolist() == [5.5, 7.0]
    assert [(a.well, a.value) for a in read_amounts(tmp_path / "l.csv").rows] == [("A01", 5.5), ("H12", 7.0)]


def test_values_survive_the_map_that_is_saved_of_them(tmp_path):
    text = MARS.format(m=",", title="Raw Data (450)") + grid(plate(1.5)) + "\nRaw Data (650)\n\n" + grid(plate(500))
    found = read_plate_map(write(tmp_path / "m.csv", text))
    found.save(tmp_path / "map.csv")
    back = read_plate_map(tmp_path / "map.csv").table
    for column in ("signal Raw Data (450)", "signal Raw Data (650)"):
        np.testing.assert_array_equal(back[column], found.table[column])
