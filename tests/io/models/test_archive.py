import json
import os
import zipfile

import numpy as np
import pytest

from tests_support import make_card
from vitascope.core.errors import ModelError, ParameterError
from vitascope.io.models import archive as packages
from vitascope.io.models import cards as models
from vitascope.io.models.archive import delete_model, export_model, import_model
from vitascope.io.models.cards import find_cards, find_model, read_card, write_card
from vitascope.io.models.weights import read_weights, write_weights


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The user's folder of models and a lab's, with nothing bundled."""
    mine, lab = tmp_path / "mine", tmp_path / "lab"
    mine.mkdir()
    lab.mkdir()
    monkeypatch.setattr(models, "BUNDLED_MODELS", tmp_path / "bundled")
    monkeypatch.setenv("VITASCOPE_MODELS", os.pathsep.join([str(mine), str(lab)]))
    return mine, lab


def put(folder, model="nuclei", value=1.0, file=None):
    card = make_card(model)
    file = file or card.weights.file
    sha256 = write_weights(folder / file, {"a": np.full(3, value, np.float32)})
    weights = card.weights.model_copy(update={"sha256": sha256, "file": file})
    return write_card(card.model_copy(update={"weights": weights}), folder)


def pack(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as package:
        for name, data in members:
            package.writestr(name, data)
    return path


@pytest.fixture
def package(folders, tmp_path):
    """One model as a file, no longer among the user's."""
    put(folders[0])
    path = export_model("nuclei", tmp_path)
    delete_model("nuclei")
    return path


def members(path):
    with zipfile.ZipFile(path) as package:
        return {name: package.read(name) for name in package.namelist()}


def test_a_model_goes_out_as_one_file_and_comes_back_the_same(folders, package):
    assert package.name == "nuclei.vitascope"
    card = import_model(package)
    assert find_model("nuclei")[0] == card
    assert read_weights(folders[0] / card.weights.file, card.weights.sha256)["a"].tolist() == [1, 1, 1]


@pytest.mark.fault("D26")
def test_nothing_but_card_and_weights_and_no_folder_of_this_machine_goes_out(package, folders):
    found = members(package)
    assert set(found) == {"nuclei.json", "nuclei.safetensors"}
    for data in found.values():
        assert str(folders[0].parent).encode() not in data


def test_a_model_can_be_exported_under_a_name_of_ones_own_but_never_over_a_file(folders, tmp_path):
    put(folders[0])
    path = export_model("nuclei", tmp_path / "new" / "mine.vitascope")
    assert path.is_file()
    with pytest.raises(ParameterError, match="exists already"):
        export_model("nuclei", path)


@pytest.mark.fault("D09")
def test_altered_weights_are_neither_exported_nor_imported(folders, package, tmp_path):
    found = members(package)
    found["nuclei.safetensors"] = found["nuclei.safetensors"][:-1] + b"\1"
    with pytest.raises(ModelError, match="SHA-256 differs"):
        import_model(pack(tmp_path / "bad.vitascope", found.items()))
    assert list(folders[0].iterdir()) == []
    path = put(folders[0])
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="SHA-256 differs"):
        export_model("nuclei", tmp_path / "out.vitascope")
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        export_model("nuclei", tmp_path / "out.vitascope")
    assert not (tmp_path / "out.vitascope").exists()


@pytest.mark.fault("D17")
@pytest.mark.fault("D09")
def test_a_card_altered_to_fit_other_weights_still_has_its_weights_checked(package, tmp_path):
    found = members(package)
    card = json.loads(found["nuclei.json"])
    bad = b"\x80\x04not weights at all"
    card["weights"]["sha256"] = packages.sha256_of_bytes(bad)
    with pytest.raises(ModelError, match="not a sound safetensors file"):
        import_model(pack(tmp_path / "bad.vitascope", [("nuclei.json", json.dumps(card)), ("nuclei.safetensors", bad)]))


@pytest.mark.parametrize("name", ["../../evil.json", "/tmp/evil.json", "sub/evil.json"])
@pytest.mark.fault("D19")
def test_files_that_point_out_of_the_package_are_not_written_anywhere(package, tmp_path, folders, name):
    before = {p for p in tmp_path.rglob("*")}
    path = pack(tmp_path / "slip.vitascope", [(name, b"{}"), *members(package).items(), ("../../evil.so", b"\0")])
    import_model(path)
    assert {p for p in tmp_path.rglob("*")} - before == {
        path,
        folders[0] / "nuclei.json",
        folders[0] / "nuclei.safetensors",
    }


@pytest.mark.fault("D19")
def test_weights_never_replace_those_of_another_model(package, folders, tmp_path):
    """The card of a package may name any plain file; it is written under the id of its own."""
    put(folders[0], "precious", value=7.0)
    found = members(package)
    card = json.loads(found["nuclei.json"])
    card["weights"]["file"] = "precious.safetensors"
    path = pack(
        tmp_path / "evil.vitascope",
        [("nuclei.json", json.dumps(card)), ("precious.safetensors", found["nuclei.safetensors"])],
    )
    assert import_model(path).weights.file == "nuclei.safetensors"
    card, weights = find_model("precious")
    assert read_weights(weights, card.weights.sha256)["a"].tolist() == [7, 7, 7]
    assert read_weights(*[f(find_model("nuclei")) for f in (lambda m: m[1], lambda m: m[0].weights.sha256)])


def test_a_model_of_this_id_is_never_replaced(package, folders):
    put(folders[0], value=2.0)
    with pytest.raises(ParameterError, match="already"):
        import_model(package)
    card, weights = find_model("nuclei")
    assert read_weights(weights, card.weights.sha256)["a"][0] == 2


def corrupted(package, how):
    data = package.read_bytes()
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "text":
        return b"this is no package"
    if how == "empty":
        return b""
    found = members(package)
    if how == "no weights":
        del found["nuclei.safetensors"]
    elif how == "two cards":
        found["other.json"] = found["nuclei.json"]
    elif how == "no card":
        del found["nuclei.json"]
    else:
        found["nuclei.json"] = b"{}"
    path = package.with_name("x")
    pack(path, found.items())
    return path.read_bytes()


@pytest.mark.parametrize(
    "how", ["truncated", "text", "empty", "no weights", "two cards", "no card", "a card that is none"]
)
@pytest.mark.fault("D11")
def test_a_file_that_is_no_package_is_refused_and_leaves_nothing(package, folders, how):
    package.write_bytes(corrupted(package, how))
    with pytest.raises(ModelError, match=r"is no model package|is not valid"):
        import_model(package)
    assert list(folders[0].iterdir()) == []


@pytest.mark.fault("D11")
def test_no_flipped_byte_of_a_packed_package_ends_in_anything_but_a_clear_error(package, folders, tmp_path):
    path = pack(tmp_path / "packed.vitascope", members(package).items(), zipfile.ZIP_DEFLATED)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    for position in rng.choice(len(good), 150, replace=False):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        try:
            card = import_model(path)
        except (ModelError, ParameterError):
            continue
        weights = find_model(card.id)[1]
        assert read_weights(weights, card.weights.sha256)["a"].tolist() == [1, 1, 1]
        delete_model(card.id)


@pytest.mark.fault("I03")
def test_a_package_that_unpacks_to_far_more_is_refused_before_it_is_unpacked(package, tmp_path):
    found = members(package)
    found["nuclei.safetensors"] = bytes(64 << 20)
    path = pack(tmp_path / "bomb.vitascope", found.items(), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="too large"):
        import_model(path)


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.vitascope is no model package"):
        import_model(tmp_path / "gone.vitascope")


def test_a_users_model_is_deleted_with_its_weights(folders):
    path = put(folders[0])
    assert delete_model("nuclei") == path
    assert list(folders[0].iterdir()) == []


def test_bundled_and_shared_models_stay(folders, tmp_path):
    put(tmp_path / "bundled", "given")
    put(folders[1], "shared")
    for model in ("given", "shared"):
        with pytest.raises(ParameterError, match="stays"):
            delete_model(model)
    assert set(find_cards()) == {"given", "shared"}


def test_deleting_takes_the_card_that_was_named_and_no_weights_that_others_use(folders):
    put(folders[0], "precious", value=7.0)
    alias = put(folders[0], "alias", file="precious.safetensors", value=7.0)
    odd = alias.rename(folders[0] / "odd.json")
    assert delete_model(str(odd)) == odd
    assert set(p.name for p in folders[0].iterdir()) == {"precious.json", "precious.safetensors"}
    assert read_card(folders[0] / "precious.json").id == "precious"
