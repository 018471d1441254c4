"""Column names in words, the same in docks and figures."""

from __future__ import annotations

ABBREVIATIONS = {
    "atp": "ATP",
    "atp_low": "ATP, lower end",
    "atp_high": "ATP, upper end",
    "pcc": "Pearson of pixels",
    "ssim": "Structural similarity",
    "nrmse": "Error (NRMSE)",
}

UNITS = {
    "_per_mm2": "per mm²",
    "_um2": "µm²",
    "_um3": "µm³",
    "_um": "µm",
    "_px": "px",
    "_percent": "%",
    "_fraction": "share",
    "_rlu": "RLU",
}


def quantity_text(column: str) -> str:
    """Turn the name of a column into words with a unit.

    Examples
    --------
    >>> quantity_text("mean_area_um2"), quantity_text("density_per_mm2"), quantity_text("pcc")
    ('Mean area (µm²)', 'Density (per mm²)', 'Pearson of pixels')
    """
    if column in ABBREVIATIONS:
        return ABBREVIATIONS[column]
    unit = ""
    for ending, text in UNITS.items():
        if column.endswith(ending):
            column, unit = column.removesuffix(ending), text
            break
    words = column.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}{f' ({unit})' if unit else ''}"
