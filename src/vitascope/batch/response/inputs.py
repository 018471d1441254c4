"""Wells for curves: from a run, a plate run, a plate reader's sheet, a screen, or a long table."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.core.dose_unit import is_negative_log, read_unit, split_log
from vitascope.core.errors import InputError, ReaderError, VitascopeError
from vitascope.core.status import JUDGED
from vitascope.io.models.cards import saw_no_real_image
from vitascope.io.results.folder import FIRST_COLUMNS, LAST_COLUMNS, RESULTS
from vitascope.io.tables.csv_append import uncell
from vitascope.io.tables.plate_map import MAP_COLUMNS, PlateMap
from vitascope.io.tables.plate_reader import is_screen, read_reader_export, read_screen
from vitascope.io.tables.read import Sheet, read_sheets
from vitascope.io.tables.vocabulary import guess_columns, read_column, unit_of_dose
from vitascope.stats.response.cells import read_column as read_cells

NOT_MEASURED = {*FIRST_COLUMNS, *LAST_COLUMNS, *MAP_COLUMNS, "day", "excluded", "reason", "plate_number", "drift_alarm",
                "hold_top", "hold_bottom", "spheroids", "drift_statistic", "drift_p", "input_scale", "input_inverted",
                "expected_pcc"}  # fmt: skip
ENDS = ("_low", "_high")
SHOWN = 12
TITLE_LINES = 10
_REPLICATE = re.compile(r"(rep|replicate|repeat|replica)[\s_.#-]*\d+", re.IGNORECASE)
LOG_WORDS = {10.0: "log10", 2.0: "log2", math.e: "ln"}


VALUE = "value"
"""Name of the values of a long table."""
MANY_COPIES = 0.5
"""Share of rows that are like others in every cell from which on they are told of."""


@dataclass(frozen=True, eq=False)
class WellTable:
    """Wells to fit curves to.

    Parameters
    ----------
    table : DataFrame
        One row for each well (and time): ``plate, well, treatment, dose, dose_unit, role`` where known, and what was
        measured. Cells may be text as they were written.
    source : Path
    notes : tuple of str
        Sentences on what was noticed, and does not stand in the way.
    headline : str
        Main number of the task that was run; empty where the source does not tell.
    unit : str
        Of the main number.
    further : tuple of Path
        Other sources whose wells are in the table.
    """

    table: pd.DataFrame
    source: Path
    notes: tuple[str, ...] = ()
    headline: str = ""
    unit: str = ""
    further: tuple[Path, ...] = ()

    def value_columns(self) -> list[str]:
        """Columns that hold numbers which were measured, the main one first."""
        found = [
            str(name)
            for name in self.table
            if name not in NOT_MEASURED and not str(name).endswith(ENDS) and _mostly_numbers(self.table[name])
        ]
        return sorted(found, key=lambda name: name != self.headline)

    def choose(self, value: str | None) -> str:
        """Return the column of values: the one asked for, else the main number, else the only one.

        Raises
        ------
        InputError
            If there is no such column, or several and none is asked for.
        """
        known = self.value_columns()
        listed = ", ".join(known[:SHOWN]) or "none"
        if value is not None:
            if value not in self.table:
                raise InputError(f"There is no column '{value}'.", f"Columns of numbers: {listed}.")
            return value
        if self.headline in known or len(known) == 1:
            return known[0]
        if not known and VALUE in self.table:
            return VALUE  # its cells say why they are none
        if not known:
            raise InputError(
                f"No column of '{self.source.name}' holds numbers that were measured.",
                "Check the decimal mark and the separator, or name the column of values with --value.",
            )
        raise InputError("The table has several columns of numbers.", f"Name one with --value: {listed}.")


def read_response_table(
    source: str | Path, plate_map: PlateMap | None = None, columns: Mapping[str, str] | None = None
) -> WellTable:
    """Read wells from whatever holds them.

    Parameters
    ----------
    source : path
        Folder of a run or a plate run, its ``results.csv``, a long table (``treatment, dose, dose_unit`` and values), a
        plate reader's export, or the ``Platelist.txt`` of a cellHTS2 screen; CSV, TSV or XLSX.
    plate_map : PlateMap, optional
        What is in each well; it comes in the place of what the source says.
    columns : mapping of str to str, optional
        Which column holds what, where its name does not tell: ``{"dose": "SBS_Doses"}``.

    Returns
    -------
    WellTable

    Raises
    ------
    ReaderError
        If the path cannot be read.
    InputError
        If it holds no table of wells, or nothing tells treatments and doses.
    """
    path = Path(source)
    # Path.is_dir raises what a share answers; then the table's reader says it.
    if os.path.isdir(path):  # noqa: PTH112
        if not (path / RESULTS).is_file():
            raise ReaderError(f"'{path.name}' holds no {RESULTS}.", "Give the folder of a finished run, or a table.")
        path = path / RESULTS
    lines, notes = _sheet(read_sheets(path), columns or {})
    if is_screen(lines.lines):
        table = read_screen(path, skip_missing=True)
        notes += [f"'{name}' of the screen is missing and left out." for name in table.attrs["missing"]]
    elif _names_wells(lines.lines[0][1], columns or {}):
        table = _named(lines.table().map(uncell), columns or {})
        table, said = _stacked(table)
        notes += said
    else:
        try:
            table = read_reader_export(path)
        except InputError as error:
            raise _without_names(path.name, lines) or error from error
        notes += [word.sentence for word in table.attrs["no_number"]] + list(table.attrs["notes"])
    table.attrs = {}
    of_a_run = "image" in table and "status" in table
    table = _by_well(table) if of_a_run else table
    notes += [] if of_a_run else _repeated(table)
    notes += _spelt_alike(table)
    if plate_map is not None:
        table, said = _mapped(table, plate_map)
        notes += said
    if "dose" not in table:
        raise InputError(
            f"Nothing tells the doses of '{path.name}'.",
            "Give a plate map with --map, or a column 'dose', or say which one it is: --map-column dose=NAME.",
        )
    headline, unit = _headline(path.parent, table)
    return WellTable(table=table.reset_index(drop=True), source=path, notes=tuple(notes), headline=headline, unit=unit)


def _sheet(sheets: Sequence[Sheet], columns: Mapping[str, str]) -> tuple[Sheet, list[str]]:
    """Take the first sheet that holds a long table, else the first; and say which tables are left."""
    below = [_below_title(sheet, columns) for sheet in sheets]
    tables = [sheet for sheet in below if _names_wells(sheet.lines[0][1], columns)]
    if not tables:
        return below[0], []
    left = [f"'{sheet.name}'" for sheet in tables[1:]]
    said = f"Only the sheet '{tables[0].name}' was read, not {', '.join(left)}: save each as a file of its own."
    return tables[0], [said] if left else []


def _below_title(sheet: Sheet, columns: Mapping[str, str]) -> Sheet:
    """Leave out what stands above the line that names the columns of a long table: titles, and headings of groups."""
    lines = sheet.lines[:TITLE_LINES]
    first = next((at for at, (_, cells) in enumerate(lines) if sum(map(bool, cells)) > 1), None)
    if first is None:
        return sheet
    if _names_wells(lines[first][1], columns):
        return replace(sheet, lines=sheet.lines[first:])
    # two names at least: a word of a reader's own header may be one by chance
    under = next((at for at, (_, cells) in enumerate(lines) if _names(cells) >= {"treatment", "dose"}), None)
    return sheet if under is None else replace(sheet, lines=sheet.lines[under:])


def _without_names(file: str, sheet: Sheet) -> InputError | None:
    """Say which columns a table has whose names say nothing; None where its first line is none of names."""
    names = [name for name in sheet.lines[0][1] if name]
    if len(names) < 2 or any(cell.value == cell.value for cell in read_cells(names)):
        return None
    listed = f"{', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"
    return InputError(
        f"No column of '{file}' says that it holds wells, treatments or doses: it has {listed}.",
        "Call them well, treatment, dose and value, or say which is which: --map-column dose=NAME.",
    )


def _stacked(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Put replicates that stand side by side, in columns such as ``Rep 1`` and ``Rep 2``, one below the other."""
    beside = [str(name) for name in table if _REPLICATE.fullmatch(str(name)) and _mostly_numbers(table[name])]
    if len(beside) < 2 or VALUE in table or "replicate" in table:
        return table, []
    rest = [name for name in table if name not in beside]
    long = table.melt(rest, beside, var_name="replicate", value_name=VALUE)
    return long, [f"Taken for replicates of one value: {', '.join(beside)}."]


def _names_wells(header: Sequence[str], columns: Mapping[str, str]) -> bool:
    """Whether a first line names the columns of a long table."""
    return bool({"image", "well", "treatment", "dose"} & (_names(header) | set(columns)))


def _names(header: Sequence[str]) -> set[str]:
    """What the cells of a line say that their columns hold."""
    return {name.strip().casefold() for name in header} | {_holds(name)[0] for name in header}


def _holds(header: str) -> tuple[str, str]:
    """Read what a column holds, and the unit of a dose, which may be that of its logarithm: ``log10 µM``."""
    base, rest = split_log(header)
    what, unit = read_column(rest)
    if not base:
        return what, unit
    of_unit = read_unit(rest)  # 'log[M]': a unit alone
    name = unit if what == "dose" else of_unit.name if of_unit is not None else None
    return ("dose", _unit_of_log(base, name)) if name is not None else ("", "")


def _unit_of_log(base: float, unit: str) -> str:
    """Write the unit of a logarithm as :func:`vitascope.core.dose_unit.split_log` reads it."""
    return f"{LOG_WORDS[base]} {unit}".strip()


def _unit_of_doses(header: str) -> str:
    """Read the unit, which may be that of a logarithm, of a column that is told or guessed to hold doses."""
    if is_negative_log(header):
        raise InputError(
            f"The column '{header}' holds logarithms with their sign turned round, not doses.",
            "Give the doses, or their logarithms under a name such as 'log10 dose (M)'.",
        )
    base, rest = split_log(header)
    of_unit = read_unit(rest)  # 'log[M]': a unit alone
    unit = unit_of_dose(rest) if of_unit is None else of_unit.name
    return _unit_of_log(base, unit) if base else unit


def _named(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Call the columns of a long table by our names: those that are told, then those that are known, then guesses."""
    missing = [name for name in columns.values() if name not in table]
    if missing:
        raise InputError(f"The table has no column '{missing[0]}'.", f"It has: {', '.join(map(str, table.columns))}.")
    names = {column: what for what, column in columns.items()}
    units: dict[str, str] = {"dose": _unit_of_doses(columns["dose"])} if "dose" in columns else {}
    of_a_run = {"image", "status"} <= set(table.columns)
    # a dose itself comes before its logarithm
    for header in sorted(map(str, table.columns), key=lambda name: split_log(name)[0] > 0):
        what, unit = _holds(header) if not (of_a_run and header in LAST_COLUMNS) else ("", "")
        if what and what not in names.values() and what not in table.columns.drop(header) and header not in names:
            names[header] = what
            units |= {what: unit} if unit else {}
    rest = {str(h): list(map(str, table[h])) for h in table if h not in names}
    guessed = {h: what for h, what in guess_columns(rest).items() if what not in names.values() and what not in table}
    for header in (h for h, what in guessed.items() if what == "dose"):
        units["dose"] = _unit_of_doses(header)
    table = table.rename(columns={**names, **guessed})
    unit = units.get("dose", "")
    if unit and "dose_unit" not in table:
        table["dose_unit"] = unit
    elif base := split_log(unit)[0]:  # the name tells the logarithm, the cells of what
        cells = [str(cell).strip() for cell in table["dose_unit"]]
        table["dose_unit"] = [c if split_log(c)[0] else _unit_of_log(base, c) for c in cells]
    return table


def _by_well(table: pd.DataFrame) -> pd.DataFrame:
    """Put the fields of each well together: wells are what a curve is fitted to, fields are no replicates.

    The mean over the fields that were judged; flags are those of any field. Wells of which none was judged keep their
    row, without numbers. Images whose names tell no well stand for themselves.
    """
    judged = table["status"].isin([str(one) for one in JUDGED])
    numbers = [
        name
        for name in map(str, table.columns)
        if (name not in NOT_MEASURED or name == "interval_level") and _mostly_numbers(table[name])
    ]
    values = table.copy()
    for name in numbers:
        cells = [cell.value for cell in read_cells(table[name].tolist())]
        values[name] = pd.Series(cells, index=table.index).where(judged)
    keys = [name for name in ("plate", "well", "time") if name in table]
    own = table["well"].where(table["well"] != "", table["image"]) if "well" in table else table["image"]
    grouped = values.assign(_own=own).groupby([*keys, "_own"], sort=False, dropna=False)
    first = grouped.first()
    for name in numbers:
        first[name] = grouped[name].mean()
    first["flags"] = grouped["flags"].agg(_joined)
    if "drift_alarm" in first:
        first["drift_alarm"] = grouped["drift_alarm"].max()  # of any field
    joined = first.reset_index().drop(columns="_own")
    return _with_trust(joined[[name for name in table.columns if name in joined]])


def _joined(cells: Iterable[object]) -> str:
    return ";".join(dict.fromkeys(word for cell in cells for word in str(cell).split(";") if word))


def _with_trust(table: pd.DataFrame) -> pd.DataFrame:
    """Say of each well whose model was calibrated on simulated images only that its interval is."""
    if "model" not in table:
        return table
    simulated = {str(name): saw_no_real_image(str(name)) for name in table["model"].unique()}
    flags = [
        _joined([cell, "interval_simulated" if simulated[str(model)] else ""])
        for cell, model in zip(table["flags"], table["model"], strict=True)
    ]
    return table.assign(flags=flags)


def _mapped(table: pd.DataFrame, plate_map: PlateMap) -> tuple[pd.DataFrame, list[str]]:
    """Join a table with a plate map; the map counts where both tell."""
    if "well" not in table:
        raise InputError("The table names no wells: a plate map cannot be joined.", "Give a column 'well'.")
    plates = table["plate"].astype(str) if "plate" in table else pd.Series("", index=table.index)
    named = set(plate_map.table["plate"]) - {""}
    only = next(iter(named)) if len(named) == 1 else ""
    rows = [plate_map.row(p or only, str(w)) if w else {} for p, w in zip(plates, table["well"], strict=True)]
    if not any(rows):
        raise InputError(
            "The plate map says nothing of any well of the table.", "Check the map's columns 'plate' and 'well'."
        )
    joined = table.copy()
    for name in (str(name) for name in plate_map.table if name not in ("plate", "well")):
        told: list[Any] = [row.get(name) for row in rows]
        joined[name] = pd.Series(told, index=table.index, dtype=object)
    left = [str(well) for well, row in zip(table["well"], rows, strict=True) if not row]
    some = f"{', '.join(left[:SHOWN])}{' …' if len(left) > SHOWN else ''}"
    said = [f"The plate map says nothing of {some}."] if left else []
    return joined, [*said, *(problem.sentence for problem in plate_map.problems)]


def _repeated(table: pd.DataFrame) -> list[str]:
    """Say which wells stand in several rows, or that most rows are copies of others: each counts as a replicate."""
    place = [name for name in ("plate", "day", "time", "well") if name in table]
    if "well" in table and table["well"].astype(str).str.strip().ne("").all():
        content = [*place, *(name for name in ("treatment", "dose") if name in table)]
        again, same = table.duplicated(place), table.duplicated(content)
        said = []
        for which, what in (
            (same, "Wells in more than one row, each of which counts as a replicate"),
            (again & ~same, "Wells that hold different treatments or doses in different rows (name plates in a column "
             "'plate', days in 'day')"),
        ):  # fmt: skip
            wells = list(dict.fromkeys(map(str, table.loc[which, "well"])))
            said += [f"{what}: {', '.join(wells[:SHOWN])}{' …' if len(wells) > SHOWN else ''}."] if wells else []
        return said
    copies = int(table.duplicated().sum())
    if table.duplicated(keep=False).mean() > MANY_COPIES:
        return [f"{copies} of {len(table)} rows are copies of others; each counts as a replicate."]
    return []


def _spelt_alike(table: pd.DataFrame) -> list[str]:
    """Name treatments that differ by nothing but capitals and spaces: each has a curve of its own."""
    if "treatment" not in table:
        return []
    spelt: dict[str, list[str]] = {}
    for name in dict.fromkeys(str(cell).strip() for cell in table["treatment"].dropna()):
        spelt.setdefault("".join(name.casefold().split()), []).append(name)
    alike = ["'" + "', '".join(names) + "'" for key, names in spelt.items() if key and len(names) > 1]
    some = f"{'; '.join(alike[:SHOWN])}{' …' if len(alike) > SHOWN else ''}"
    return [f"Treatments that differ in capitals or spaces alone are curves of their own: {some}."] if alike else []


def _headline(folder: Path, table: pd.DataFrame) -> tuple[str, str]:
    """Main number of the task that was run in a folder, and its unit."""
    from vitascope.batch.response.provenance import task_of
    from vitascope.tasks.registry import find_task

    task = task_of(folder)
    if not task:
        return "", ""
    try:
        headline = find_task(task).headline
    except VitascopeError:
        return "", ""
    units = [str(unit) for unit in table["unit"] if str(unit)] if "unit" in table else []
    return headline, units[0] if units and headline in table else ""


def _mostly_numbers(column: pd.Series) -> bool:
    """Whether at least half of the cells that are filled hold numbers, and one does."""
    if pd.api.types.is_numeric_dtype(column) and column.dtype != bool:
        return bool(column.notna().any())
    cells = [cell for cell in column.tolist() if cell is not None and str(cell).strip() not in ("", "nan")]
    numbers = sum(cell.value == cell.value for cell in read_cells(cells))
    return numbers > 0 and 2 * numbers >= len(cells)
