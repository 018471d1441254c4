import json

import pytest
import yaml

from tests_support import make_recipe
from vitascope.core.errors import InputError, ReaderError
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.recipes import recipe as recipes
from vitascope.recipes.recipe import check_files, find_data, parse_recipe, read_recipe
from vitascope.tasks.registry import TASKS

BUNDLED = sorted((BUNDLED_MODELS / "recipes").glob("*.yaml"))


@pytest.fixture
def tree(tmp_path):
    return make_recipe(tmp_path)


def written(folder, tree):
    path = folder / "recipe.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree), encoding="utf-8")
    return path


def test_a_recipe_is_read_from_yaml(tmp_path, tree):
    found = read_recipe(written(tmp_path, tree))
    assert found.id == "tiny"
    assert found.split.train_rows == ((0, 64),)
    assert found.target_percentiles == (1.0, 99.9)
    assert parse_recipe(json.loads(found.model_dump_json()), "json") == found


@pytest.mark.parametrize("path", BUNDLED, ids=lambda p: p.stem)
def test_the_bundled_recipes_are_valid_and_called_as_their_files(path):
    found = read_recipe(path)
    assert found.id == path.stem
    assert found.task in [spec.name for spec in TASKS]
    for data in found.data:
        assert data.simulated is not None or data.url.startswith("https://")
        assert all(len(digest) == 64 for digest in data.sha256.values())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("loss", {}, "loss: "),
        ("targets", [], "targets: "),
        ("crop_px", 100, "crop_px: input should be a multiple of 16"),
        ("id", "My Model", "id: value error, must be 1 to 64 characters"),
        ("colour", "red", "colour: extra inputs"),
        ("split", {"by": "crop"}, "split.by: "),
        ("split", {"by": "region"}, "names rows to train on"),
        ("split", {"by": "region", "train_rows": [[64, 0]]}, "rows go from a first one"),
        ("split", {"by": "region", "train_rows": [[-5, 10]]}, "rows go from a first one"),
        ("split", {"by": "group", "test_fraction": 0.6, "validation_fraction": 0.4}, "leave nothing to train on"),
        ("training", {"epochs": 0}, "training.epochs: "),
        ("training", {"learning_rate": 0}, "training.learning_rate: "),
    ],
)
def test_fields_that_are_wrong_are_named(tmp_path, tree, field, value, words):
    with pytest.raises(InputError, match=r"recipe\.yaml is not valid") as caught:
        read_recipe(written(tmp_path, {**tree, field: value}))
    assert words in caught.value.message


@pytest.mark.parametrize("tree", ["", "5", "[1, 2]", "text"])
def test_yaml_that_is_no_recipe_is_refused(tmp_path, tree):
    with pytest.raises(InputError, match="is not valid: value: "):
        read_recipe(written(tmp_path, tree))


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.system [exit]", "id: 2024-13-45"])
@pytest.mark.fault("D24")
def test_text_that_is_no_plain_yaml_is_refused_and_never_run(tmp_path, text):
    with pytest.raises(ReaderError, match=r"recipe\.yaml cannot be read"):
        read_recipe(written(tmp_path, text))


@pytest.mark.fault("D24")
def test_a_few_lines_that_unfold_to_billions_are_refused(tmp_path, tree):
    bomb = ["bomb0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"bomb{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    tree["network"]["arguments"]["code"] = "BOMB"
    text = "\n".join(bomb) + "\n" + yaml.safe_dump(tree).replace("BOMB", "*a9")
    with pytest.raises(ReaderError, match="unfolds"):
        read_recipe(written(tmp_path, text))


def test_files_that_cannot_be_recipes_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ReaderError, match=r"gone\.yaml cannot be read: No such file") as caught:
        read_recipe(tmp_path / "gone.yaml")
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(ReaderError, match="Is a directory"):
        read_recipe(tmp_path)
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ReaderError, match="no text"):
        read_recipe(path)
    monkeypatch.setattr(recipes, "MAX_BYTES", 3)
    with pytest.raises(ReaderError, match="too large"):
        read_recipe(path)


def test_fields_are_changed_by_dotted_name_and_checked(tree):
    found = parse_recipe(tree, "x")
    other = found.changed({"training.learning_rate": 0.5, "id": "other"})
    assert (other.training.learning_rate, other.id, found.id) == (0.5, "other", "tiny")
    for name in ("training.rate", "nothing", "training.seed.deep", "data.name"):
        with pytest.raises(InputError, match="has no field"):
            found.changed({name: 1})
    with pytest.raises(InputError, match="not valid"):
        found.changed({"training.epochs": -1})


def test_whatever_shapes_the_weights_changes_the_fingerprint(tree):
    found = parse_recipe(tree, "x")
    assert found.fingerprint() == parse_recipe(tree, "y").fingerprint()
    for change in ({"training.seed": 1}, {"loss": {"mse": 1.0}}, {"crop_px": 48}, {"augment.noise": 0.5}):
        assert found.changed(change).fingerprint() != found.fingerprint()


def test_data_lie_under_the_named_folder_or_beside_the_recipe(tmp_path, tree, monkeypatch):
    data = parse_recipe(tree, "x").data[0]
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    assert find_data(data, tmp_path) == tmp_path / "data"
    shared = tmp_path / "shared"
    (shared / "data").mkdir(parents=True)
    monkeypatch.setenv("VITASCOPE_DATA", str(shared))
    assert find_data(data, tmp_path) == shared / "data"


@pytest.mark.fault("D23")
def test_absent_data_is_one_sentence_that_names_where_to_get_it(tmp_path, tree, no_network):
    data = parse_recipe(tree, "x").data[0]
    with pytest.raises(ReaderError, match="'made-up' is not on this machine") as caught:
        find_data(data, tmp_path / "elsewhere")
    for word in ("https://example.org/data", "CC0-1.0", "VITASCOPE_DATA", "'data'"):
        assert word in caught.value.hint


@pytest.mark.fault("D09")
def test_an_altered_or_missing_file_is_refused_by_name(tmp_path, tree):
    data = parse_recipe(tree, "x").data[0]
    folder = tmp_path / "data"
    check_files(data, folder)
    good = (folder / "dna0.tif").read_bytes()
    (folder / "dna0.tif").write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ReaderError, match=r"dna0\.tif is not the file the recipe was written for"):
        check_files(data, folder)
    (folder / "dna0.tif").unlink()
    with pytest.raises(ReaderError, match=r"dna0\.tif of the data set 'made-up' is missing") as caught:
        check_files(data, folder)
    assert "https://example.org/data" in caught.value.hint
