"""Which word of a name is its well, decided over all names together.

``B16`` may be a well, a cell line or a bar code, ``C01`` a well or a channel, ``P1`` a well, a passage or a position:
one name by itself does not tell. A well differs between the names, while channels, fields and planes repeat inside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.kinds import without_projection
from vitascope.io.filenames.parse import NameParts, natural, parse_chosen, split_suffix, step_folders
from vitascope.io.filenames.tokens import Token, find_first_well, find_tokens, find_wells

ABBREVIATIONS = frozenset("CDEFGHIKLMNP")
"""Letters that also announce a number: channel, day, experiment, field, group, hour, image, clone, laser, model,
number, passage or position. A and B announce none, the others of a plate's rows seldom."""

_STAIN = re.compile(
    r"phase(?:contrast)?|bf|brightfield|bright|trans(?:mitted)?|dic|dapi|hoechst|dna|nuclei|[em]?gfp|[mt]?rfp|yfp|cfp|"
    r"fitc|tritc|cy\d(?:_5)?|mcherry|tdtomato|a(?:lexa)?\d{3}|pi|calcein|actin|tubulin|sytox|draq\d|far|red|green|blue|"
    r"orange|nir|\d{3}(?:nm)?|er|rna|agp|mito|ch\d*|w\d",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?<![A-Za-z0-9])[A-P][A-F]?\d{1,3}(?![A-Za-z0-9])")
_MOST_WORDS = 8
_MOST_CHANNELS = 8
_CERTAIN_WELLS, _CERTAIN_RATIO = 6, 2


@dataclass(frozen=True)
class _Column:
    """One way to take a word of every name for its well."""

    tokens: tuple[Token, ...]
    small: bool = False
    folder: bool = False

    @cached_property
    def wells(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens)

    @cached_property
    def distinct(self) -> frozenset[str]:
        return frozenset(self.wells)

    @cached_property
    def rows(self) -> frozenset[str]:
        return frozenset(well.rstrip("0123456789") for well in self.distinct)

    @property
    def numbered(self) -> bool:
        """Whether all words are one letter that announces numbers, and a number."""
        return len(self.rows) == 1 and self.rows <= ABBREVIATIONS


def settle_wells(
    paths: Sequence[Path], parts: Sequence[NameParts], folders: Sequence[Path], ties: str = "ask"
) -> list[NameParts]:
    """Decide for names that no instrument's layout explains which of their words are the wells.

    A word that is the same in all names, or that varies with the channel, is no well. Of several others the one is
    taken that tells the images apart while the rest repeats inside it.

    Parameters
    ----------
    paths : sequence of Path
        Of all files that are looked at together.
    parts : sequence of NameParts
        What each name tells by itself.
    folders : sequence of Path
        What each lies in.
    ties : {"ask", "leave"}
        Where several readings are possible: refuse, or read no well.

    Returns
    -------
    list of NameParts

    Raises
    ------
    ParameterError
        If several words may be the wells, and nothing tells which.
    """
    result = _beginning(paths, _prefixed(paths, list(parts)))
    indices = [i for i, one in enumerate(result) if one.layout == "tokens" and one.wells]
    if not indices:
        return result
    names = _Names([paths[i] for i in indices], [result[i] for i in indices], [folders[i] for i in indices])
    for i, one in zip(indices, names.settled(ties), strict=True):
        result[i] = one
    return result


def _prefixed(paths: Sequence[Path], parts: list[NameParts]) -> list[NameParts]:
    """Look again at names whose layout takes all text before the last well-like word for the plate's name."""
    loose = [i for i, one in enumerate(parts) if one.layout == "imagexpress"]
    if len(loose) < 2 or len({parts[i].well for i in loose}) > 1 or len({parts[i].plate for i in loose}) < 2:
        return parts
    for i in loose:
        stem, _ = split_suffix(paths[i].name)
        wells = find_wells(stem)
        if len(wells) > 1:
            parts[i] = parse_chosen(paths[i], [])._replace(layout="tokens", wells=tuple(wells))
    return parts


def _beginning(paths: Sequence[Path], parts: list[NameParts]) -> list[NameParts]:
    """Let names begin with C1 and a hyphen, as split channels do, where others begin with wells too."""
    if not any(token.start == 0 for one in parts if one.layout == "tokens" for token in one.wells):
        return parts
    for i, one in enumerate(parts):
        split = one.layout in ("tokens", "") and one.stem[2:3] == "-" and all(token.start for token in one.wells)
        if split and (first := find_first_well(one.stem)) is not None:
            parts[i] = parse_chosen(paths[i], [first])._replace(layout="tokens", wells=(*one.wells, first))
    return parts


class _Names:
    """Names that are looked at together."""

    def __init__(self, paths: Sequence[Path], parts: Sequence[NameParts], folders: Sequence[Path]) -> None:
        self.paths, self.parts, self.folders = paths, parts, folders

    def settled(self, ties: str) -> list[NameParts]:
        """Read all names by the columns that are left."""
        if all(len(one.wells) == 1 for one in self.parts):
            chosen = _Column(tuple(one.wells[0] for one in self.parts))
            if chosen.numbered and (folder := self._by_folder(chosen)) is not None:
                return self._read(folder, [chosen])
            return list(self.parts) if self._tells(chosen) else self._read(None, [chosen])
        columns = self._columns()
        left = self._eliminate(columns)
        if len(left) == 1:
            if left[0].numbered and (folder := self._by_folder(left[0])) is not None:
                return self._read(folder, columns)
            return self._read(left[0] if self._tells(left[0]) else None, columns)
        if ties == "ask" and len({one.common for one in self.parts}) > 1:
            raise self._question(left)
        return self._read(None, columns)

    # -- the readings ------------------------------------------------------------------------------------------------

    def _columns(self) -> list[_Column]:
        """List the readings: the first, second … word of every name.

        Where some names have more words than others, they are counted from either end, with and without the words that
        all names have.
        """
        inside = [sorted(one.wells, key=lambda token: token.start) for one in self.parts]
        if len(set(map(len, inside))) > 1 and (aligned := self._aligned()):
            return aligned
        alike = len(set(map(len, inside))) == 1
        everywhere = set.intersection(*({token.text for token in tokens} for tokens in inside))
        varying = [[token for token in tokens if token.text not in everywhere] for tokens in inside]
        found: dict[tuple[str, ...], _Column] = {}
        for words in (inside,) if alike else (inside, varying):
            for rank in range(min(_MOST_WORDS, min(map(len, words)))):
                for at in (rank,) if alike else (rank, -1 - rank):
                    tokens = tuple(one[at] for one in words)
                    small = any(p.stem[t.start].islower() for p, t in zip(self.parts, tokens, strict=True))
                    column = _Column(tokens, small)
                    found.setdefault(column.wells, column)
        return list(found.values())

    def _aligned(self) -> list[_Column]:
        """List the readings with words such as ``H0`` and ``C100`` counted too: where they stand, no word is a well."""
        words = [list(_NUMBERED.finditer(one.stem)) for one in self.parts]
        if len(set(map(len, words))) > 1:
            return []
        wells = [{token.start: token for token in one.wells} for one in self.parts]
        found: dict[tuple[str, ...], _Column] = {}
        for rank in range(min(_MOST_WORDS, len(words[0]))):
            tokens = [of_name.get(one[rank].start()) for of_name, one in zip(wells, words, strict=True)]
            if all(tokens):
                column = _Column(tuple(token for token in tokens if token is not None))
                found.setdefault(column.wells, column)
        return list(found.values())

    def _by_folder(self, numbered: _Column) -> _Column | None:
        """Find wells in the names of the folders, inside which the numbers in the names of the files repeat."""
        tokens = []
        for path in self.paths:
            skipped = len(step_folders(path.parts[:-1]))
            wells = folder_wells(path.parts[-2 - skipped] if len(path.parts) > 1 + skipped else "")
            if len(wells) != 1:
                return None
            tokens.append(Token("well", next(iter(wells)), 0, 0))
        folder = _Column(tuple(tokens), folder=True)
        return folder if self._repeats_inside(numbered, folder) and not folder.numbered else None

    def _eliminate(self, columns: list[_Column]) -> list[_Column]:
        """Leave out the readings that cannot be the wells, one reason after the other."""
        rules: tuple[Callable[[list[_Column]], list[_Column]], ...] = (
            self._constant, self._small, self._of_channel, self._numbers, self._coarse, self._few, self._of_plate,
        )  # fmt: skip
        for rule in rules:
            if len(columns) == 1:
                break
            columns = rule(columns) or columns
        return columns

    def _constant(self, columns: list[_Column]) -> list[_Column]:
        """Leave out what is the same in all names, unless the others may be the channels of one well."""
        varying = [one for one in columns if len(one.distinct) > 1]
        few = all(
            one.numbered and one.rows <= {"C", "F", "P"} and len(one.distinct) <= _MOST_CHANNELS for one in varying
        )
        if few and not self._rests(columns):
            return columns
        return varying

    def _small(self, columns: list[_Column]) -> list[_Column]:
        return [one for one in columns if not one.small]

    def _of_channel(self, columns: list[_Column]) -> list[_Column]:
        """Leave out what says no more than the channel does."""
        channels = [one.channel.casefold() for one in self.parts]
        if len(set(channels)) < 2:
            return columns
        return [one for one in columns if not _determines(channels, one.wells)]

    def _numbers(self, columns: list[_Column]) -> list[_Column]:
        """Leave out the numbers of channels, fields and positions, which are the same inside each of the wells."""
        return [
            one
            for one in columns
            if not (one.numbered and any(self._repeats_inside(one, other) for other in columns if other is not one))
        ]

    def _coarse(self, columns: list[_Column]) -> list[_Column]:
        """Leave out what is only a property of finer wells, such as their cell line, and does not tell images apart."""
        told = {one: self._told_apart(one, columns) for one in columns}
        most = max(told.values())
        finest = [one for one in columns if told[one] == most and not one.numbered]
        return [one for one in columns if told[one] == most or not any(_determines(f.wells, one.wells) for f in finest)]

    def _few(self, columns: list[_Column]) -> list[_Column]:
        """Leave out what has far fewer values in no more rows."""
        best = max(columns, key=lambda one: (not one.numbered, len(one.distinct), len(one.rows)))
        fewest = max(_CERTAIN_WELLS, _CERTAIN_RATIO * max(len(one.distinct) for one in columns if one is not best))
        others = [one for one in columns if one is not best]
        varied = len(best.rows) > 1 and all(
            len(one.rows) == 1 and len(one.distinct) <= len(best.distinct) for one in others
        )
        varied = varied and (len(best.distinct) >= _CERTAIN_WELLS or all(one.numbered for one in others))
        many = len(best.distinct) >= fewest and all(len(one.rows) <= len(best.rows) for one in others)
        return [best] if (varied or many) and not best.numbered else columns

    def _of_plate(self, columns: list[_Column]) -> list[_Column]:
        """Leave out what is the same in each folder of several, as of the plates of several cell lines."""
        homes = set(self.folders)
        if len(homes) < 2 or any(folder_wells(home.name) for home in homes):
            return columns
        return [one for one in columns if not _determines(self.folders, one.wells)]

    # -- what speaks for and against them ----------------------------------------------------------------------------

    def _tells(self, column: _Column) -> bool:
        """Tell whether the only word that may be the well varies as wells do: neither constant nor with the stain."""
        plain = [without_projection(one.rest) for one in self.parts]
        rests = [(one.rest if p is None else p).casefold() for p, one in zip(plain, self.parts, strict=True)]
        first = column.tokens[0]
        said = self.parts[0].stem[first.start : first.end].casefold().startswith("well")
        if said or len(set(rests)) < 2:
            return True
        if len(column.distinct) == 1:
            return _differ_in_stain(rests) or len(set(self.folders)) == len(self.paths)
        return not (column.rows == {"C"} and _differ_in_stain(rests) and _determines(rests, column.wells))

    def _rests(self, columns: list[_Column]) -> bool:
        """Tell whether the names differ in more than these columns, channels, fields and planes."""
        rests = set()
        for i, path in enumerate(self.paths):
            rest = parse_chosen(path, []).rest
            for column in columns:
                token = column.tokens[i]
                rest = rest.replace(self.parts[i].stem[token.start : token.end], "", 1)
            rests.add(rest)
        return len(rests) > 1

    def _repeats_inside(self, numbers: _Column, wells: _Column) -> bool:
        inside: dict[str, set[str]] = defaultdict(set)
        for number, well in zip(numbers.wells, wells.wells, strict=True):
            inside[well].add(number)
        usual = max(map(frozenset, inside.values()), key=len)
        alike = sum(one == usual for one in inside.values())
        return len(inside) > 1 and len(usual) > 1 and 2 * alike > len(inside)

    def _told_apart(self, column: _Column, columns: list[_Column]) -> int:
        """Count the images that well, field, time, channel and plane tell apart."""
        channels = next((one.wells for one in columns if one is not column and one.rows == {"C"}), column.wells)
        parts = zip(self.folders, self.parts, column.wells, channels, strict=True)
        return len({(f, well, n.field, n.time, n.z, n.channel or channel) for f, n, well, channel in parts})

    # -- the outcome -------------------------------------------------------------------------------------------------

    def _read(self, well: _Column | None, columns: Sequence[_Column]) -> list[NameParts]:
        """Read all names with the wells that were found, and numbered words beside them as channels or fields."""
        others = [one for one in columns if well is not None and one is not well and one.rows in ({"C"}, {"P"})]
        others = [
            one
            for one in others
            if (len(one.distinct) == 1 and one.rows == {"C"}) or (well is not None and self._repeats_inside(one, well))
        ]
        others.sort(key=lambda one: len(one.distinct) == 1)
        told = {"channel": any(one.channel for one in self.parts), "field": any(one.field for one in self.parts)}
        result = []
        for i, (path, parts) in enumerate(zip(self.paths, self.parts, strict=True)):
            chosen = [] if well is None or well.folder else [well.tokens[i]]
            for other in others:
                token = other.tokens[i]
                part = "channel" if other.rows == {"C"} else "field"
                after = not chosen or token.start >= chosen[0].end
                if not told[part] and all(one.part != part for one in chosen) and (part == "channel" or after):
                    number = parts.stem[token.start : token.end]
                    chosen.append(Token(part, number if part == "channel" else number[1:], token.start, token.end))
            result.append(parse_chosen(path, chosen, well.tokens[i].text if well is not None and well.folder else ""))
        return result

    def _question(self, left: Sequence[_Column]) -> ParameterError:
        readings = " or ".join(f"'{', '.join(sorted(one.distinct, key=natural)[:3])}' …" for one in left)
        patterns = " or ".join(f"'{_pattern(self.parts[0].stem, one.tokens[0])}'" for one in left)
        return ParameterError(
            f"The names may tell the wells {readings}, as in '{self.paths[0].name}'.",
            f"Say which with --pattern, such as {patterns}.",
        )


def _pattern(stem: str, well: Token) -> str:
    """Write the pattern that reads a word of a name as its well, and its channel, field, z and time as these."""
    tokens = [t for t in find_tokens(stem, [well]) if t.part in ("well", "channel", "field", "z", "time")]
    text, at = "", 0
    for token in sorted(tokens, key=lambda token: token.start):
        text += _with_stars(stem[at : token.start])
        written = stem[token.start : token.end]
        before = written[: len(written) - len(token.text)] if token.part not in ("well", "channel") else ""
        text += f"{before}{{{token.part}}}"
        at = token.end
    return text + _with_stars(stem[at:])


def suggest_patterns(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the words of a name that may be its well, and the pattern that reads each.

    Examples
    --------
    >>> suggest_patterns("P12_HeLa_B03_ch2.tif")
    (('P12', 'B03'), ('{well}_*_*_{channel}', '*_*_{well}_{channel}'))
    """
    stem, _ = split_suffix(name)
    wells = find_wells(stem)
    return tuple(one.text for one in wells), tuple(_pattern(stem, one) for one in wells)


def _with_stars(text: str) -> str:
    return re.sub(r"[A-Za-z0-9{}*]+", "*", text)


def _determines(ones: Sequence[object], others: Sequence[object]) -> bool:
    """Tell whether to each of the ones belongs only one of the others."""
    return len(set(zip(ones, others, strict=True))) == len(set(ones))


def _differ_in_stain(rests: Sequence[str]) -> bool:
    """Tell whether the words in which texts differ are all names of stains or channels."""
    words = [{word for word in re.split(r"[\W_]+", rest) if word} for rest in set(rests)]
    return all(_STAIN.fullmatch(word) for one in words for word in one - set.intersection(*words))


@lru_cache(maxsize=4096)
def folder_wells(name: str) -> frozenset[str]:
    """List the wells that the name of a folder may tell.

    Examples
    --------
    >>> sorted(folder_wells("W0002--A2--A2"))
    ['A02']
    """
    return frozenset(token.text for token in find_wells(name))


def home_levels(folders: Sequence[Path], parts: Sequence[NameParts], root: Path | None = None) -> list[int]:
    """Count for each file the folders above it that stand for its well, with those for time points and z-steps below.

    A folder stands for a well where its name tells it and all files in it are of this well.

    Parameters
    ----------
    folders : sequence of Path
        What each file lies in.
    parts : sequence of NameParts
    root : Path, optional
        Folder that never counts, nor those above it.

    Returns
    -------
    list of int
        0 where no folder stands for a well.
    """
    distinct = set(folders)
    if distinct == {root}:
        return [0] * len(folders)
    wells: dict[Path, set[str]] = defaultdict(set)
    for folder, one in zip(folders, parts, strict=True):
        wells[folder].add(one.well)
    for folder in distinct:
        for above in folder.parents:
            if above == root or len(above.parts) < 2:
                break
            wells[above] |= wells[folder]
    levels = {folder: _levels(folder, wells, root) for folder in distinct}
    return [levels[folder] for folder in folders]


def _levels(folder: Path, wells: dict[Path, set[str]], root: Path | None) -> int:
    steps = len(step_folders(folder.parts))
    count, at = 0, steps
    for above in [folder, *folder.parents][steps:]:
        told = wells.get(above, set())
        if above == root or len(told) != 1 or not told & folder_wells(above.name):
            break
        at += 1
        count = at
    return count
