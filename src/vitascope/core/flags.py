"""The words that the ``flags`` column may hold, and what each one means to a user.

Every word a pipeline raises must be here; ``docs/flags.md`` is checked against this table.
"""

from __future__ import annotations

FLAGS: dict[str, str] = {
    # the input, carried through
    "pixel_size_unknown": "No usable pixel size: the image was run unscaled, sizes are in px, µm columns are empty.",
    "pixel_size_mismatch": "The image's pixel size differs from the model's and rescaling was off.",
    "z_step_unknown": "The distance of the planes is not known: depth was not scaled, sizes in µm are empty.",
    "unit_unknown": "The unit of the pixel size is not a length: it was ignored.",
    "pixels_not_square": "Height and width of a pixel differ by more than 1 %: no pixel size was taken from the file.",
    "empty_chunks": "Chunks of the array were left out by its writer: they hold its fill value.",
    "palette_ignored": "The file shows its grey values through a table of colours: the values were taken as stored.",
    "nan_masked": "Up to 10 % of the pixels are not finite; they were treated as background.",
    "constant": "The image has one single value: nothing can be seen in it.",
    "saturated": "More than 1 % of the pixels sit at the end of the scale.",
    "low_contrast": "Contrast lies below that of the training images.",
    "out_of_focus": "The image is blurrier than the training images.",
    "inverted_contrast": "Contrast looks inverted against the training images.",
    "precision_lost": "Whole numbers above 2^53 cannot be told apart in this calculation.",
    "planes_missing": "The model wants more planes than the stack has, or a plane was taken twice.",
    "smaller_than_cell": "The image is smaller than one cell of the model.",
    "fewer_channels_used": "The image has more channels than the model: the others were left out.",
    "dead_channel_missing": "There is no dead dye: live voxels are given, dead volume and viability are left empty.",
    "empty_well": "The well holds next to nothing: no organoids were seen in it.",
    "no_well": "No rim of a well was seen: the whole image was taken for the well.",
    "well_cut_off": "The well reaches beyond the image: what lies outside is missing in the numbers.",
    "several_wells": "There is more than one well in the image: the largest was taken.",
    "unsure": "The image lies at the edge of what the model was trained on (outside the 1-99 % range).",
    "outside_model": "The image lies outside what the model was trained on: do not rely on the numbers.",
    "focus_outlier": "The image is far blurrier than the others of its plate.",
    "contrast_outlier": "Contrast lies far below that of the other images of the plate: the well may be empty.",
    # the run
    "device_fallback": "The wanted device was not there or gave up: the run went on with another one.",
    "precision_raised": "Low precision gave numbers that are not finite: the run was repeated in 32 bit.",
    "tile_reduced": "Memory ran short: a smaller tile was used (the result is the same).",
    "no_objects": "No object was found.",
    # rejected: the input cannot be judged
    "unfit_input": "The input does not fit this task.",
    "no_finite_pixels": "No pixel of the image is a finite number.",
    "too_many_nan": "More than 10 % of the pixels are not finite.",
    "empty_image": "The image has a side of length zero.",
    "wrong_dimensions": "The image has fewer or more dimensions than can be read.",
    "wrong_dtype": "The pixels are not real numbers.",
    "wrong_channels": "The channels do not fit the model, or cannot be told apart.",
    "wrong_planes": "The number of planes does not fit the model.",
    "axes_unknown": "Nothing tells whether a dimension of the image is depth, time or channels: name its axes.",
    "colour_image": "The image is a colour picture, not a micrograph with one value per pixel.",
    "duplicate": "Two files claim to be the same image.",
    "too_large": "The image declares more pixels than the cap allows.",
    # failed: the run could not be finished
    "error": "Something went wrong that has no word of its own; the message says what.",
    "bad_parameter": "A parameter has a value that cannot be used.",
    "unreadable": "The file cannot be read.",
    "incomplete": "A part of the file or plate is missing.",
    "being_written": "The file was changed while it was read: the instrument is still writing it.",
    "not_written": "The result could not be written.",
    "model_refused": "The model was refused.",
    "memory": "Memory ran out at the smallest tile too.",
    "worker_died": "The worker process died with this image, twice: memory ran out, or a library failed.",
    "training_stopped": "Training could not continue.",
}


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
