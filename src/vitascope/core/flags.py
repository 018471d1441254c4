"""The words that the ``flags`` column may hold, what each one means to a user, and how much it weighs.

Every word a pipeline raises must be here; ``docs/flags.md`` is read from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class FlagClass(StrEnum):
    """How much a flag weighs; the status of an image follows from it."""

    NOTE = "note"
    """Good to know, and no number is wrong: the status stays OK."""
    WARNING = "warning"
    """A number may be wrong: the status is WARN."""
    REFUSAL = "refusal"
    """The image cannot be judged: REJECTED."""
    FAILURE = "failure"
    """The run could not be finished: FAILED, or INCOMPLETE where a part is missing."""


class Flag(NamedTuple):
    """What stands behind a word.

    Parameters
    ----------
    text : str
        A sentence for the user.
    kind : FlagClass
    """

    text: str
    kind: FlagClass


def note(text: str) -> Flag:
    """Make a flag that is good to know."""
    return Flag(text, FlagClass.NOTE)


def warning(text: str) -> Flag:
    """Make a flag of what may make a number wrong."""
    return Flag(text, FlagClass.WARNING)


def refusal(text: str) -> Flag:
    """Make a flag of an image that cannot be judged."""
    return Flag(text, FlagClass.REFUSAL)


def failure(text: str) -> Flag:
    """Make a flag of a run that could not be finished."""
    return Flag(text, FlagClass.FAILURE)


CURVE_FLAGS: dict[str, Flag] = {
    "no_controls": note("The plate has no negative controls: its values were fitted as given."),
    "zero_dose": note("Wells of dose zero count as such: they lie on the plateau of low doses."),
    "zero_dose_as_control": note("The plate has no negative controls: its wells of dose zero were taken for them."),
    "dose_units_converted": note("Doses came in several units and were brought to the most frequent one."),
    "dose_unit_unknown": warning("The unit of the doses is not told."),
    "points_left_out": warning("Some points could not be used: a dose or value is missing or no number."),
    "outliers_left_out": note("Points were left out as outliers, by rule or by hand; the points tell which and why."),
    "censored_values": warning("Some values are bounds, such as <0.5: the bound was taken for the value."),
    "one_replicate": note("There is one value at each dose: lack of fit cannot be tested."),
    "lack_of_fit": warning("The points lie farther from the curve than their replicates from each other."),
    "steep": note("The response changes within one step of the doses: the slope is not known, only that it is steep."),
    "extrapolated": warning("The midpoint lies beyond the doses tested."),
    "interval_open": warning("An end of the interval lies beyond the doses tested."),
    "no_spread": warning("The points lie exactly on the curve: the interval says nothing about noise."),
    "rests_on_outside_model": warning(
        "Some points of the curve come from images outside what the model knows, or with a leaking dye."
    ),
    "low_z_prime": warning("Z' of the curve's plate lies below 0: its controls cannot be told apart well by well."),
    "edge_effect": warning("The edge of the curve's plate differs from its inside (p < 0.01)."),
    "row_effect": warning("Rows of the curve's plate differ (p < 0.01)."),
    "column_effect": warning("Columns of the curve's plate differ (p < 0.01)."),
    "position_corrected": note("The values were corrected for edge, rows or columns of the plate before the fit."),
    "drift_alarm": warning("The plate's images drifted away from those the model was validated on."),
}
"""Words of curves: what stands behind an IC50, beside the flags of its wells."""

FLAGS: dict[str, Flag] = {
    # the input, carried through
    "pixel_size_unknown": note(
        "No usable pixel size: the image was run unscaled, sizes are in px, µm columns are empty."
    ),
    "pixel_size_mismatch": warning("The image's pixel size differs from the model's and rescaling was off."),
    "z_step_unknown": note("The distance of the planes is not known: depth was not scaled, sizes in µm are empty."),
    "unit_unknown": note("The unit of the pixel size is not a length: it was ignored."),
    "pixels_not_square": warning(
        "Height and width of a pixel differ by more than 1 %: no pixel size was taken from the file."
    ),
    "spare_bytes": note("The file holds bytes that belong to none of its pages: they were left aside."),
    "empty_chunks": note("Chunks of the array were left out by its writer: they hold its fill value."),
    "palette_ignored": note(
        "The file shows its grey values through a table of colours: the values were taken as stored."
    ),
    "nan_masked": warning("Up to 10 % of the pixels are not finite; they were treated as background."),
    "constant": warning("The image has one single value: nothing can be seen in it."),
    "saturated": warning("More than 1 % of the pixels sit at the end of the scale."),
    "saturated_clipped": note(
        "More than 1 % of the pixels sit at the end of the scale, where the model cuts off anyway: no number changes."
    ),
    "low_contrast": warning("Contrast lies below that of the training images."),
    "out_of_focus": warning("The image is blurrier than the training images."),
    "oversharp": warning(
        "The image is sharper, or noisier, than those the model was made for; it may have been sharpened."
    ),
    "shading": warning(
        "The image is lit unevenly: its ground falls by more than a fifth from edge to edge. Divide it by one of an "
        "empty field, or let the light be evened out."
    ),
    "meniscus": warning(
        "The ground is more than a fifth darker or brighter at the rim than in the middle, as under a curved surface. "
        "Fill wells alike, divide by an image of a well without cells, or let the light be evened out."
    ),
    "bubbles": warning("There are air bubbles in the image: take them out of the well and image it again."),
    "flat_fielded": note(
        "The light was uneven: the image was divided by its own ground before a number was made of it."
    ),
    "inverted_contrast": warning("Contrast looks inverted against the training images."),
    "precision_lost": warning("Whole numbers above 2^53 cannot be told apart in this calculation."),
    "planes_missing": warning("The model wants more planes than the stack has, or a plane was taken twice."),
    "smaller_than_cell": warning("The image is smaller than one cell of the model."),
    "fewer_channels_used": note("The image has more channels than the model: the others were left out."),
    "dead_channel_missing": warning(
        "There is no dead dye: live voxels are given, dead volume and viability are left empty."
    ),
    "live_dye_leak": warning(
        "The live dye shows only, and faintly, what the dead dye shows: what looks alive may be dead cells that leak. "
        "Viability is left empty."
    ),
    "empty_well": warning("The well holds next to nothing: no organoids were seen in it."),
    "attention_on_background": warning(
        "More than half of what the number rests on lies where no organoid was seen: look at the maps."
    ),
    "no_well": warning("No rim of a well was seen: the whole image was taken for the well."),
    "well_cut_off": warning("The well reaches beyond the image: what lies outside is missing in the numbers."),
    "several_wells": warning("There is more than one well in the image: the largest was taken."),
    "unsure": warning(
        "The image lies at the edge of what the model was trained on (outside the 1-99 % range, or an expected "
        "agreement of 0.4 to 0.7)."
    ),
    "outside_model": warning("The image lies outside what the model was trained on: do not rely on the numbers."),
    "withheld": warning(
        "Too little agreement with a real stain is expected: the numbers are held back, pictures are still there."
    ),
    "interval_simulated": note(
        "The intervals were calibrated on simulated images only: on real ones they may be too narrow."
    ),
    "interval_unknown": note("No interval can be given here, or how often it holds is not known."),
    "domain_unknown": warning(
        "Nothing is known of the images that this model was trained on: whether it can be relied on here is not known."
    ),
    "trained_on_this": warning(
        "The model was trained on this very image, or on one that this is a crop of: its figures on it are optimistic."
    ),
    "noise_shared": warning(
        "Neighbouring pixels share their noise: denoising learns it with the signal, and part of it stays."
    ),
    "focus_outlier": warning("The image is far blurrier than the others of its plate."),
    "contrast_outlier": warning(
        "Contrast lies far below that of the other images of the plate: the well may be empty."
    ),
    # the run
    "device_fallback": warning("The wanted device was not there or gave up: the run went on with another one."),
    "precision_raised": note("Low precision gave numbers that are not finite: the run was repeated in 32 bit."),
    "not_exact": warning(
        "The network sees the whole of what it is given: the image was cut and the pieces blended, which is not exact."
    ),
    "tile_reduced": note("Memory ran short: a smaller tile was used (the result is the same)."),
    "no_objects": warning("No object was found."),
    "small_left_out": warning(
        "More than a tenth of the stained voxels lie in pieces smaller than the smallest spheroid: they were left out "
        "as debris, and are counted in left_out_voxels."
    ),
    "bound_lowered": note(
        "No piece was as large as the smallest spheroid asked for: the bound was lowered to what is there, see "
        "least_diameter_um."
    ),
    "otsu_disagrees": warning(
        "The network's cells and those of a plain threshold (Otsu) differ by more than half: look at both masks."
    ),
    # curves of a dose-response analysis
    **CURVE_FLAGS,
    # rejected: the input cannot be judged
    "unfit_input": refusal("The input does not fit this task."),
    "no_finite_pixels": refusal("No pixel of the image is a finite number."),
    "too_many_nan": refusal("More than 10 % of the pixels are not finite."),
    "empty_image": refusal("The image has a side of length zero."),
    "wrong_dimensions": refusal("The image has fewer or more dimensions than can be read."),
    "wrong_dtype": refusal("The pixels are not real numbers."),
    "wrong_channels": refusal("The channels do not fit the model, or cannot be told apart."),
    "wrong_planes": refusal("The number of planes does not fit the model."),
    "axes_unknown": refusal(
        "Nothing tells whether a dimension of the image is depth, time or channels: name its axes."
    ),
    "colour_image": refusal("The image is a colour picture, not a micrograph with one value per pixel."),
    "duplicate": refusal("Two files claim to be the same image."),
    "too_large": refusal("The image declares more pixels than the cap allows."),
    # failed: the run could not be finished
    "error": failure("Something went wrong that has no word of its own; the message says what."),
    "bad_parameter": failure("A parameter has a value that cannot be used."),
    "unreadable": failure("The file cannot be read."),
    "incomplete": failure("A part of the file or plate is missing."),
    "being_written": failure("The file was changed while it was read: the instrument is still writing it."),
    "not_written": failure("The result could not be written."),
    "model_refused": failure("The model was refused."),
    "memory": failure("Memory ran out at the smallest tile too."),
    "worker_died": failure("The worker process died with this image, twice: memory ran out, or a library failed."),
    "training_stopped": failure("Training could not continue."),
}


def without_notes(flags: Iterable[str]) -> tuple[str, ...]:
    """Return the flags that weigh something, each once; words that are in no table count.

    Examples
    --------
    >>> without_notes(("pixel_size_unknown", "saturated", "saturated"))
    ('saturated',)
    """
    return tuple(dict.fromkeys(flag for flag in flags if flag and not is_note(flag)))


def is_note(flag: str) -> bool:
    """Tell whether a flag is a note."""
    return flag in FLAGS and FLAGS[flag].kind is FlagClass.NOTE


def join_flags(flags: tuple[str, ...]) -> str:
    """Put flags into one cell, each once, in the order of :data:`FLAGS`.

    Raises
    ------
    KeyError
        If a word is not documented.

    Examples
    --------
    >>> join_flags(("saturated", "pixel_size_unknown", "saturated"))
    'pixel_size_unknown;saturated'
    """
    order = {word: i for i, word in enumerate(FLAGS)}
    return ";".join(sorted(set(flags), key=order.__getitem__))
