"""The models at hand: bundled, the user's own, and those of a lab's shared folders."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.aliases import MODELS, task_name
from vitascope.core.card import MODEL_ID, ModelCard, check_id
from vitascope.core.errors import ModelError, OutputError, ParameterError, VitascopeError, describe
from vitascope.core.paths import BUNDLED_MODELS, shared_models, user_models
from vitascope.io.atomic import write_bytes

MAX_CARD_BYTES = 16 << 20
NO_MODELS = "There are no models for this task."


def model_folders() -> list[Path]:
    """Folders that models are looked for in: bundled first, then the user's, then shared ones."""
    return [BUNDLED_MODELS, user_models(), *shared_models()]


def own_models() -> Path:
    """Return the folder of the user's own models, to write to it.

    Raises
    ------
    OutputError
        If it is a link: models would end up, or replace something, where nobody looks for them.
    """
    folder = user_models()
    if folder.is_symlink():
        raise OutputError(
            f"The folder of your models, '{folder}', is a link to somewhere else: nothing is written through it.",
            "Set VITASCOPE_MODELS to the folder itself, or make it a real folder.",
        )
    return folder


def check_own(model: str, hint: str) -> None:
    """Refuse to write the card of a model anew that is not one of the user's own.

    Raises
    ------
    ModelError
        With the hint.
    """
    path = find_card(model)
    if path.parent.resolve() != own_models().resolve():
        raise ModelError(f"'{path.stem}' is none of your own models: its card is not written anew.", hint)


def _leads_out(path: Path) -> bool:
    """Tell whether a file is a link to somewhere outside its folder."""
    return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())


def read_card(path: Path) -> ModelCard:
    """Read a model card from a JSON file.

    Raises
    ------
    ModelError
        If the file cannot be read or is no card.
    """
    if _leads_out(path):
        raise ModelError(f"The model card {path.name} is a link out of its folder.", "Copy the file itself there.")
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ModelError(f"The model card {path.name} is too large.", "A card is a small JSON file.")
        text = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model card {path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    return ModelCard.from_json(text, path.name)


def write_card(card: ModelCard, folder: Path) -> Path:
    """Write a card as ``<id>.json``, whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    path = folder / f"{card.id}.json"
    write_bytes(path, (card.model_dump_json(indent=1) + "\n").encode())
    return path


def find_cards(task: str | None = None) -> dict[str, Path]:
    """Return the card files by model id; of two with one id the first folder's counts.

    Cards that cannot be read, or lie under another name than their id, are left out here; naming one in a run says what
    is wrong with it.
    """
    found: dict[str, Path] = {}
    for folder in model_folders():
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            if path.stem in found:
                continue
            try:
                card = read_card(path)
            except ModelError:
                continue
            if card.id == path.stem and (task is None or card.task == task_name(task)):
                found[card.id] = path
    return found


def list_cards(task: str | None = None) -> list[ModelCard]:
    """List the cards at hand, the bundled ones first.

    Parameters
    ----------
    task : str, optional
        Only models of this task.
    """
    return [read_card(path) for path in find_cards(task).values()]


def check_model_id(name: str) -> None:
    """Refuse what is no name for a model.

    Raises
    ------
    ParameterError
    """
    try:
        check_id(name)
    except ValueError as error:
        raise ParameterError(
            f"'{name}' is no name for a model: it {error}.",
            "Take 1 to 64 characters out of a-z, 0-9, dash and underscore, such as 'nuclei-2'.",
        ) from error


def split_target(out: str) -> tuple[Path, str]:
    """Turn what a new model is to be called into a folder and an id: a plain name goes to the user's models.

    Raises
    ------
    ParameterError
        If the name cannot be that of a model.

    Examples
    --------
    >>> split_target("models/mine.json")[1]
    'mine'
    """
    path = Path(out)
    name = path.name.removesuffix(".json").removesuffix(".safetensors").removesuffix(".onnx")
    check_model_id(name)
    return (own_models() if path.name == out else path.parent), name


def new_model(out: str) -> tuple[Path, str]:
    """Return folder and id of a model to be made, as :func:`split_target`.

    Raises
    ------
    ParameterError
        If the name cannot be that of a model, or a model has it already.
    """
    folder, name = split_target(out)
    if folder == user_models() and name in find_cards():
        raise ParameterError(f"There is a model '{name}' already.", "Choose another name.")
    return folder, name


def find_model(model: str, task: str | None = None) -> tuple[ModelCard, Path]:
    """Find a model by its id or the path of its card.

    Parameters
    ----------
    model : str
        Such as ``nuclei-phase``, or the path of a card (.json).
    task : str, optional
        Task the model must be for.

    Returns
    -------
    tuple of ModelCard and Path
        The card and the file of its weights.

    Raises
    ------
    ParameterError
        If there is no such model.
    ModelError
        If the card is broken or for another task.
    """
    path = find_card(model, task)
    card = read_card(path)
    if not model.endswith(".json") and card.id not in (model, MODELS.get(model)):
        raise ModelError(
            f"The card '{path.name}' is that of a model '{card.id}'.", f"Rename the file to '{card.id}.json'."
        )
    if task is not None and card.task != task_name(task):
        raise ModelError(f"The model {card.id} is for the task '{card.task}', not '{task}'.", _known(task))
    return card, path.parent / card.weights.file


def find_card(model: str, task: str | None = None) -> Path:
    """Return the file of a card, by id or path; it is not read.

    Raises
    ------
    ParameterError
        If there is no such model.
    """
    if model.endswith(".json"):
        return Path(model)
    if MODEL_ID.match(model):
        for name in (model, *([MODELS[model]] if model in MODELS else [])):
            for folder in model_folders():
                if (folder / f"{name}.json").is_file():
                    return folder / f"{name}.json"
    raise ParameterError(f"There is no model '{model}'.", _known(task))


def _known(task: str | None) -> str:
    known = ", ".join(find_cards(task))
    return f"Models at hand: {known}." if known else NO_MODELS


def saw_no_real_image(model: str) -> bool:
    """Tell whether a model, by its id, was trained on simulated images only; of one that is no longer here, no."""
    try:
        return bool(model) and find_model(model)[0].data_is_simulated
    except VitascopeError:
        return False
