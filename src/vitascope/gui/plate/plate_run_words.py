"""What a plate run says when it has ended, and where its results are proposed to go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vitascope.batch.plate.results import PlateResults
from vitascope.batch.plate.run import PlateReport
from vitascope.core.formatting import interval_texts, is_number, number_text, quantity_text
from vitascope.core.paths import SAMPLES, cache
from vitascope.gui.plate.well_choice import STATUS_WORDS
from vitascope.io.plates.plate import Plate


def previewed_texts(results: PlateResults, names: Mapping[str, str], headline: str) -> list[str]:
    """Say what a preview gave: the main number of each image, or how it ended."""
    told = []
    rows = {row["image"]: row for row in results.frame.to_dict("records")}
    for image, name in names.items():
        row = rows[image]
        value = row.get(headline)
        if not is_number(value):
            told.append(f"{name}: {STATUS_WORDS.get(row['status'], row['status'])}")
            continue
        stem = headline.removesuffix("_percent")
        low, high = row.get(f"{stem}_low"), row.get(f"{stem}_high")
        number = interval_texts(value, low, high)[0] if is_number(low) and is_number(high) else number_text(value)
        told.append(f"{name}: {quantity_text(headline)} {number} {row.get('unit') or ''}".rstrip())
    return told


def proposed_folder(plate: Plate) -> Path:
    """Return the folder that results are proposed to go to: beside the plate, at home where nothing can be written."""
    folder = plate.path
    if folder.suffix.lower() in (".xml", ".htd"):
        folder = folder.parent.parent if folder.parent.name.lower() == "images" else folder.parent
    beside = folder.parent
    ours = any(beside.is_relative_to(one) for one in (SAMPLES, cache()))
    return (Path.home() if ours or not os.access(beside, os.W_OK) else beside) / f"{plate.name}_results"


def said(report: PlateReport) -> str:
    """Say how a plate ended."""
    counts = {str(status): count for status, count in report.counts.items()}
    told = ", ".join(f"{counts[status]} {words}" for status, words in STATUS_WORDS.items() if counts.get(status))
    return f"Done: {told}. {report.computed} computed now. Results: {report.out}"
