"""Check that a wheel holds what a user needs and weighs no more than it may."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MOST_MB = 100


def main(path: str) -> None:
    """Fail with a sentence when something is missing, or the wheel is too heavy."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        manifest = wheel.read("vitascope/napari.yaml").decode()
        wanted = ["vitascope/py.typed", "vitascope/zoo/nuclei-phase.json", "vitascope/zoo/nuclei-phase.safetensors"]
        missing = [n for n in wanted if n not in names]
    size = Path(path).stat().st_size / 1e6
    problems = []
    if not manifest.startswith("name: vitascope"):
        problems.append("napari.yaml is not the manifest")
    if missing:
        problems.append(f"missing: {missing}")
    if size > MOST_MB:
        problems.append(f"{size:.0f} MB, more than {MOST_MB}")
    if problems:
        sys.exit(f"{path}: {'; '.join(problems)}")
    print(f"{Path(path).name}: {len(names)} files, {size:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
