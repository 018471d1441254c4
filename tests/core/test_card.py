import json

import pytest

from tests_support import make_card, make_domain
from vitascope.core.card import ModelCard, Normalisation
from vitascope.core.errors import ModelError


def changed(path, value, **kwargs):
    """The JSON of a valid card with one field replaced, or dropped where the value is ``...``."""
    tree = json.loads(make_card(**kwargs).model_dump_json())
    *parents, last = path.split(".")
    branch = tree
    for key in parents:
        branch = branch[int(key)] if key.isdigit() else branch[key]
    if value is ...:
        del branch[last]
    else:
        branch[last] = value
    return json.dumps(tree)


def test_a_card_survives_json():
    card = make_card(planes=3, targets=("DNA", "actin"), pixel_size_um=0.5, domain=make_domain())
    assert ModelCard.from_json(card.model_dump_json(indent=1)) == card
    assert card.network_channels == 3


@pytest.mark.parametrize("field", ["input.normalisation", "weights.sha256", "architecture", "targets", "licence"])
@pytest.mark.fault("D16")
def test_a_card_that_lacks_what_is_needed_is_refused_naming_it(field):
    with pytest.raises(ModelError, match=field.replace(".", r"\.") + ": field required"):
        ModelCard.from_json(changed(field, ...))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../etc/passwd"),
        ("id", "Überzell"),
        ("id", "a\n"),
        ("id", ""),
        ("weights.file", "../other.safetensors"),
        ("weights.file", "/etc/passwd.safetensors"),
        ("weights.file", "weights.pt"),
        ("weights.sha256", "0" * 63),
        ("weights.dtype", "float8"),
        ("card_version", 0),
        ("id", "nuclei.json"),
        ("id", "nuclei.safetensors"),
        ("id", "nuclei."),
        ("id", "con"),
        ("id", "aux.old"),
        ("id", "lpt1"),
        ("run_after_loading", "import os"),
        ("input.planes", 0),
        ("input.channels", []),
        ("input.pixel_size_um", 0),
        ("input.pixel_size_um", float("nan")),
        ("input.normalisation.method", "per_tile"),
        ("input.normalisation.clip", [5, -5]),
        ("targets", []),
        ("targets.0.source_low", float("inf")),
        ("targets", [{"name": "DNA"}, {"name": "dna"}]),
        ("domain.feature_std", [0.0]),
        ("domain.feature_mean", [1.0]),
        ("domain.crop_px", 100),
    ],
)
@pytest.mark.fault("D19")
@pytest.mark.fault("D16")
def test_values_that_no_card_may_hold_are_refused(field, value):
    with pytest.raises(ModelError, match="not valid"):
        ModelCard.from_json(changed(field, value, domain=make_domain()))


@pytest.mark.parametrize("text", ["", "[]", "{", "nothing", b"\xff\xfe\x00", "[" * 100_000])
def test_text_that_is_no_card_is_refused(text):
    with pytest.raises(ModelError, match=r"card bad\.json is not valid"):
        ModelCard.from_json(text, "bad.json")


def test_limits_the_wrong_way_round_are_refused():
    """They would turn every picture into one single value without a word."""
    with pytest.raises(ValueError, match="below"):
        Normalisation(method="percentile", low=99, high=1)


def test_a_card_of_a_newer_version_says_that_vitascope_is_older():
    tree = json.loads(make_card().model_dump_json()) | {"card_version": 7, "a_field_of_later": 1}
    with pytest.raises(ModelError, match=r"made by a newer vitascope \(card version 7\)") as caught:
        ModelCard.from_json(json.dumps(tree), "x.json")
    assert "Update" in caught.value.hint
