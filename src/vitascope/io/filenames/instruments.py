"""File names of common instruments, as patterns with named groups, tried in order.

Groups: ``plate``, ``well`` (or ``row`` and ``column``), ``field``, ``time``, ``channel``, ``z``; what ``skip`` groups
hold tells nothing of its own (it repeats the channel, or is random). Text outside the groups tells images apart.
"""

from __future__ import annotations

import re

from vitascope.io.filenames.tokens import GUID

_INCUCYTE_CHANNEL = r"(?:phase(?:[ _]?contrast)?|bright ?field|green|red|orange|blue|nir|near[ -]?ir)"


def _layout(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


Layouts = tuple[tuple[str, re.Pattern[str]], ...]


def _layouts(rows: str) -> Layouts:
    """List the layouts for wells of some rows."""
    well = rf"(?P<well>(?:{rows})\d{{1,2}})"
    well_of_two_digits = rf"(?P<well>(?:{rows})\d{{2}})"
    return (
        # r02c03f01p01-ch1sk1fk1fl1
        (
            "operetta",
            _layout(
                r"r(?P<row>\d{2})c(?P<column>\d{2})f(?P<field>\d+)p(?P<z>\d+)-(?P<channel>ch\d+)sk(?P<time>\d+)\w*"
            ),
        ),
        # Plate_B02_T0001F001L01A01Z01C01: A counts the actions of a time line, one or more for each channel
        (
            "yokogawa",
            _layout(
                rf"(?:(?P<plate>.+)_)?{well}_T(?P<time>\d+)F(?P<field>\d+)L\d+(?P<skip>A\d+)Z(?P<z>\d+)(?P<channel>C\d+)"
            ),
        ),
        # Plate_p00_z05_0_A01f00d0 and the shorter Plate_D03f00d0
        (
            "evos",
            _layout(rf"(?:(?P<plate>.+?)_)?(?:p\d+_z(?P<z>\d+)_\d+_)?{well}f(?P<field>\d+)(?P<channel>d\d+)"),
        ),
        # B - 02(fld 1 wv UV - DAPI z 3)
        (
            "incell",
            _layout(
                rf"(?:(?P<plate>.+)_)?(?P<well>(?:{rows}) ?- ?\d+) ?\(fld (?P<field>\d+)(?: wv (?P<channel>.+?))?"
                r"(?: z (?P<z>\d+))?(?: time (?P<time>\d+)[^)]*)?\)"
            ),
        ),
        # ZProj[Stitched[Bright Field]]_C3_1_001: the channel stands before the well
        (
            "cytation-stitched",
            _layout(rf"(?=.*_\d{{3}}\Z)(?P<channel>.*[^\d_].*?)_{well}_(?P<field>\d+)_(?P<time>\d{{3}})"),
        ),
        # B2_02_1_1_Bright Field_001: read step (with its z), number of the channel, field, channel, time
        (
            "cytation",
            _layout(
                rf"{well}_-?\d+(?:Z(?P<z>\d+))?_(?P<skip>\d+)_(?P<field>\d+)_(?P<channel>[^\d_][^_]*)_(?P<time>\d{{3,}})"
            ),
        ),
        # Vessel_Phase_B2_1_2024y01m01d_00h00m
        (
            "incucyte",
            _layout(
                rf"(?:(?P<plate>.+?)_)??(?:(?P<channel>{_INCUCYTE_CHANNEL})_)?{well}_(?P<field>\d+)_"
                r"(?P<time>\d{4}y\d\dm\d\dd_\d\dh\d\dm|\d+d\d+h\d+m)"
            ),
        ),
        # ch01_A01_t1 and ch01_A_1_t1
        (
            "channel-well-time",
            _layout(rf"(?P<channel>ch\d+)_(?P<well>(?:{rows})_?\d{{1,2}})_t(?P<time>\d+)"),
        ),
        # Channel1-01-A-01: the number of the image on the plate, row, column
        (
            "channel-number-well",
            _layout(rf"(?P<channel>Channel ?\d+)-\d+-(?P<well>(?:{rows})-\d{{1,2}})"),
        ),
        # Plate_B02_s1_w2 and a random identifier, each of them optional
        (
            "imagexpress",
            _layout(
                rf"(?P<plate>(?!well_).+?)_{well_of_two_digits}(?=_[sw]\d|_?\[?{GUID})(?:_s(?P<field>\d+?))?"
                rf"(?:_(?P<channel>w\d{{1,2}}?))?(?P<skip>[_ ]?\[?{GUID}\]?)?(?:_z(?P<z>\d+))?(?:_t(?P<time>\d+))?"
            ),
        ),
    )


EARLY_ROWS = "A[A-F]|[A-P]"
LATE_ROWS = "[Q-Z]"
"""Of plates of 1536 wells; Z01, S1 and T1 are seldom wells, and are taken for these only among other wells."""

LAYOUTS = _layouts(EARLY_ROWS)
LATE_LAYOUTS = dict(_layouts(LATE_ROWS))
