"""Options that several commands have, with their help written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitascope.tasks.registry import TASKS

TASK_HELP = f"What to do: {', '.join(f'{s.name} ({s.title})' for s in TASKS)}."
SECOND_IMAGES = ", ".join(f"{role.title.lower()} ({s.name})" for s in TASKS for role in s.roles[1:])

Model = Annotated[str, typer.Option(help="Model by id (see 'vitascope models list') or path of its card.")]
Pattern = Annotated[
    str | None,
    typer.Option(help="Pattern for file names, such as '{well}_f{field}_z{z}_{channel}.tif'; overrides known ones."),
]
OldPattern = Annotated[str | None, typer.Option("--group", hidden=True, help="What --pattern was called.")]
Planes = Annotated[
    str | None,
    typer.Option(
        metavar="stack|projection",
        help="What to read where an instrument wrote both; otherwise the stack where it is complete.",
    ),
]
PixelSize = Annotated[
    float | None, typer.Option(help="Micrometres per pixel, where the files do not tell or tell wrong.")
]
Axes = Annotated[
    str | None,
    typer.Option(
        help="Axes of each file out of TCZYX, where the files do not tell or tell wrong: ZYX for planes of focus, TYX "
        "for times, CYX for channels."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any parameter of the task; see 'vitascope run TASK --help-parameters'."
    ),
]

SettingsFile = Annotated[
    str,
    typer.Option(
        "--settings",
        metavar="FILE.json|NAME",
        help="Parameters from a file, as 'vitascope calibrate-counts' writes it, or kept under a name by the dock; "
        "--set wins.",
    ),
]

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="TIFF, OME-TIFF, CZI, LIF, ND2, PNG, zarr, folders or quoted globs; files that differ only in z are "
        "planes of one image, only in channel its channels.",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(help=f"The second image of a task, once for each image, in order: {SECOND_IMAGES}."),
]

PlatePath = Annotated[
    str,
    typer.Argument(
        metavar="PLATE",
        help="Folder of images, OME-Zarr plate, Index.idx.xml (Operetta), .HTD (MetaXpress), .mlf (CellVoyager), or "
        "CZI, ND2 or LIF whose images are called after wells.",
    ),
]
PlateOut = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for the results; an unfinished run there is resumed.")
]
Map = Annotated[
    Path | None,
    typer.Option(help="Plate map: treatment, dose, controls; CSV, XLSX, a reader's export or an OME-Zarr."),
]
ImageMap = Annotated[
    Path | None,
    typer.Option(
        help="Plate map (CSV or XLSX) with treatment, dose and controls: it comes into the results, and the main "
        "number is given in percent of the controls of the same plate and time too."
    ),
]
MapColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--map-column", metavar="WHAT=COLUMN", help="Which column of the map holds what, such as dose=SBS_Doses."
    ),
]
PlateName = Annotated[str | None, typer.Option("--plate", help="Name of the plate, where the folder holds several.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Address of a dask scheduler, such as tcp://node17:8786, or of a service, such as http://node17:8765 "
        "(token: VITASCOPE_TOKEN), which computes the images."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, max=512, help="Worker processes on this machine; without it, threads of one.")
]
Profiles = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.parquet",
        help="Write the measurements for pycytominer too: Metadata_Plate, Metadata_Well, Metadata_Site, Nuclei_…, "
        "Cells_…, Image_….",
    ),
]
Redo = Annotated[bool, typer.Option("--redo", help="Run again what failed or was incomplete.")]

Drift = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE", help="Drift reference to compare the images with while they run; see 'vitascope drift'."
    ),
]
StopOnDrift = Annotated[
    bool, typer.Option("--stop-on-drift", help="End the run at the first alarm; the same command resumes it.")
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Try some images, say how long the plate will take, and stop.")
]
Price = Annotated[
    float | None, typer.Option(min=0, help="What an hour of one worker costs; the estimate is told as a price too.")
]
EstimateTraining = Annotated[
    bool, typer.Option("--estimate", help="Try a few steps, say how long the training will take, and stop.")
]
MachinePrice = Annotated[
    float | None, typer.Option(min=0, help="What an hour of this machine costs; the estimate is told as a price too.")
]
