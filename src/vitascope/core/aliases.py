"""Names of earlier versions that are still read: keys of cards and recipes, import paths, options, files.

One table for all, so that nothing is renamed without its old name being kept.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any, ParamSpec, TypeVar, cast

from pydantic import AfterValidator, BaseModel, model_validator

from vitascope.core.errors import ParameterError
from vitascope.core.late_import import import_late

P = ParamSpec("P")
T = TypeVar("T")

KEYS = {
    "ModelCard": {"distrust": "limitations", "settings": "default_params"},
    "InputSpec": {"find": "crop_to"},
    "Normalisation": {"spreads": "stds"},
    "Metric": {"of_twin": "from_holdout_model"},
    "Domain": {"feature_spread": "feature_std"},
    "Recipe": {"distrust": "limitations"},
    "DataSet": {"bags": "labelled_images"},
    "TrainingParams": {"settle_steps": "bn_stats_steps"},
}
"""Old keys of cards and recipes by the part they stand in, and what they are called now."""

MODULES = {
    "vitascope.batch.image_quality": ("vitascope.batch.plate.image_quality", {}),
    "vitascope.batch.plate_results": ("vitascope.batch.plate.results", {}),
    "vitascope.core.steps": (
        "vitascope.core.progress",
        {"finish": "run_to_end", "Steps": "ProgressGenerator", "retold": "map_progress"},
    ),
    "vitascope.core.training": ("vitascope.core.training_params", {}),
    "vitascope.io.images": ("vitascope.io.images.read", {}),
    "vitascope.io.open_plate": ("vitascope.io.plates.read", {}),
    "vitascope.io.plate_map": ("vitascope.io.tables.plate_map", {}),
    "vitascope.io.plate_preview": ("vitascope.io.filenames.preview", {"Preview": "PatternPreview"}),
    "vitascope.io.plate_zarr_write": ("vitascope.io.plates.ome_zarr_write", {}),
    "vitascope.models.plain": ("vitascope.networks.single_output", {}),
    "vitascope.models.pooling": ("vitascope.networks.pooling", {}),
    "vitascope.ops.contour": ("vitascope.ops.objects.contour", {}),
    "vitascope.tasks.start": ("vitascope.tasks.run", {}),
}
"""Old import paths that were documented or that exported packages hold: the module now, and names that changed."""

OPTIONS = {"--group": "--pattern"}
"""Old options of the commands."""

KEYWORDS = {"group": "pattern"}
"""Old keywords of the functions that read images and plates."""

MODELS = {"atp-organoid-sim": "atp-organoid"}
"""Bundled models by the names they had; a model that has such a name itself is meant first."""

TASKS = {"virtual_stain": "stain"}
"""Other names of tasks."""


def task_name(name: str) -> str:
    """Return the name of a task where it was called by another.

    Examples
    --------
    >>> task_name("virtual_stain"), task_name("atp")
    ('stain', 'atp')
    """
    return TASKS.get(name, name)


TaskName = Annotated[str, AfterValidator(task_name)]
"""A task in a card or recipe, read under its other names too."""


def with_first_keys(text: str) -> str:
    """Return the JSON of a recipe under the keys of the first version, whose hash stays what it was.

    Examples
    --------
    >>> with_first_keys('{"bn_stats_steps":20}')
    '{"settle_steps":20}'
    """
    for keys in KEYS.values():
        for old, now in keys.items():
            text = text.replace(f'"{now}":', f'"{old}":')
    return text


def module_names(module: str) -> set[str]:
    """Return what a module is called and was called."""
    return {module, *(old for old, (now, _) in MODULES.items() if now == module)}


class Aliased(BaseModel):
    """A part of a card or a recipe that is read under its old keys too, and written under the new ones."""

    @model_validator(mode="before")
    @classmethod
    def _read_old_keys(cls, tree: Any) -> Any:
        old = KEYS.get(cls.__name__, {})
        if not isinstance(tree, dict) or not old.keys() & tree.keys():
            return tree
        both = [f"'{key}' and '{old[key]}'" for key in old.keys() & tree.keys() if old[key] in tree]
        if both:
            raise ValueError(f"{both[0]} are two spellings of one key: keep the second")
        return {old.get(key, key): value for key, value in tree.items()}


def old_keywords(call: Callable[P, T]) -> Callable[P, T]:
    """Let a function take its keywords under their old names too, with a warning; its signature shows the new ones.

    Raises
    ------
    ParameterError
        When the function is called with both spellings of one keyword.
    """

    @functools.wraps(call)
    def take(*args: P.args, **kwargs: P.kwargs) -> T:
        given: dict[str, Any] = dict(kwargs)
        for old in KEYWORDS.keys() & given.keys():
            now = KEYWORDS[old]
            if now in given:
                raise ParameterError(f"'{old}' and '{now}' are two spellings of one keyword.", f"Keep '{now}'.")
            warnings.warn(f"The keyword '{old}' is now '{now}'.", DeprecationWarning, stacklevel=2)
            given[now] = given.pop(old)
        return cast(Callable[..., T], call)(*args, **given)

    return take


def moved(module: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that moved: each name comes from where it is now, with a warning.

    Raises
    ------
    AttributeError
        When asked for a name that is not there either.
    """
    home, names = MODULES[module]

    def find(name: str) -> Any:
        now = names.get(name, name)
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(import_late(home, ModuleType), now)
        warnings.warn(f"{module}.{name} is now {home}.{now}.", DeprecationWarning, stacklevel=2)
        return value

    return find
