import hashlib
import re

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from tests_support import make_recipe
from vitascope.core.errors import AxesUnknownError, InputError, ModelError, ReaderError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.ops.wells.montage import cut_montage
from vitascope.recipes.recipe import ImagePair, parse_recipe
from vitascope.training.data.laboratories import load_stains
from vitascope.training.data.stain import (
    MOSAIC_COLUMNS,
    TRAINING_MOSAICS,
    load_corpus,
    scale_targets,
    target_scales,
    without_rectangles,
)


def corpus_of(tmp_path, tree):
    return run_to_end(load_corpus(parse_recipe(tree, "x"), tmp_path))


def region(**rows):
    return {"by": "region", "train_rows": [[0, 64]], **rows}


def read(tmp_path, name):
    return tifffile.imread(tmp_path / "data" / name).astype(float)


def replace(tmp_path, tree, name, picture):
    """Write another picture, its hash put right in the recipe."""
    path = tmp_path / "data" / name
    tifffile.imwrite(path, picture, photometric="minisblack")
    tree["data"][0]["sha256"][name] = hashlib.sha256(path.read_bytes()).hexdigest()


def test_images_and_stains_are_in_network_units(tmp_path):
    corpus = corpus_of(tmp_path, make_recipe(tmp_path))
    phase, stain = read(tmp_path, "phase0.tif"), read(tmp_path, "dna0.tif")
    low, high = np.percentile(stain, (1, 99.9))
    assert corpus.scales[0] == pytest.approx((low, high), abs=np.ptp(stain) / 131_072)
    for pairs in (corpus.train, corpus.validation, corpus.test):
        pair = pairs[0]
        np.testing.assert_allclose(pair.image[0], (phase - np.median(phase)) / phase.std(), atol=1e-4)
        np.testing.assert_allclose(pair.target[0], np.clip((stain - low) / (high - low), 0, 1), atol=2e-5)
        assert (pair.weight == 1).all()


def test_rows_are_those_of_the_recipe_cut_to_the_image(tmp_path):
    split = region(validation_rows=[[72, 104]], test_rows=[[112, 900]])
    corpus = corpus_of(tmp_path, make_recipe(tmp_path, split=split))
    areas = [[(a.top, a.bottom, a.left, a.right) for p in part for a in p.areas] for part in part_lists(corpus)]
    assert areas == [[(0, 64, 0, 96)], [(72, 104, 0, 96)], [(112, 160, 0, 96)]]


def part_lists(corpus):
    return corpus.train, corpus.validation, corpus.test


@pytest.mark.parametrize(
    "split",
    [
        region(test_rows=[[63, 100]]),
        region(test_rows=[[64, 100]]),
        region(validation_rows=[[64, 100]]),
        region(validation_rows=[[10, 20]]),
        region(train_rows=[[0, 32], [96, 128]], test_rows=[[32, 96]]),
        region(validation_rows=[[80, 112]], test_rows=[[111, 160]]),
    ],
)
def test_rows_that_would_leak_are_refused(tmp_path, split):
    """Touching rows too: the same cell lies on both sides."""
    with pytest.raises(TrainingError, match=r"overlap or touch training rows|both tested and validated"):
        corpus_of(tmp_path, make_recipe(tmp_path, split=split))


@pytest.mark.parametrize(("first", "told"), [(65, "only 1 rows"), (159, "only 95 rows"), (160, ""), (170, "")])
def test_a_gap_narrower_than_the_networks_reach_is_told_on_the_card(tmp_path, first, told):
    split = region(test_rows=[[first, first + 20]])
    description = corpus_of(tmp_path, make_recipe(tmp_path, shape=(200, 64), split=split)).description
    assert description.startswith(f"trained on rows 0-63; tested on rows {first}-{first + 19}")
    assert ("an output pixel sees 96" in description) == bool(told)
    assert told in description


def test_rows_that_no_image_has_are_refused(tmp_path):
    for split in (region(test_rows=[[200, 300]]), {"by": "region", "train_rows": [[200, 300]]}):
        with pytest.raises(TrainingError, match="No image has rows 200-299"):
            corpus_of(tmp_path, make_recipe(tmp_path, split=split))


def test_all_rows_can_be_trained_on(tmp_path):
    corpus = corpus_of(tmp_path, make_recipe(tmp_path, split={"by": "region", "train_rows": [[0, 160]]}))
    assert (corpus.validation, corpus.test) == ([], [])
    assert corpus.description == "trained on rows 0-159"


@pytest.mark.fault("D23")
def test_absent_data_is_one_sentence_naming_where_to_get_it(tmp_path, no_network):
    tree = make_recipe(tmp_path / "elsewhere")
    with pytest.raises(ReaderError, match="'made-up' is not on this machine") as caught:
        corpus_of(tmp_path, tree)
    assert "https://example.org/data" in caught.value.hint


@pytest.mark.fault("D09")
def test_an_altered_file_is_refused_before_anything_is_read(tmp_path):
    tree = make_recipe(tmp_path)
    tifffile.imwrite(tmp_path / "data" / "dna0.tif", np.zeros((160, 96), np.uint16))
    with pytest.raises(ReaderError, match=r"dna0\.tif is not the file the recipe was written for"):
        corpus_of(tmp_path, tree)


@pytest.mark.parametrize("name", ["phase0.tif", "dna0.tif"])
@pytest.mark.fault("D09")
def test_a_file_without_a_hash_is_refused(tmp_path, name):
    tree = make_recipe(tmp_path)
    del tree["data"][0]["sha256"][name]
    with pytest.raises(ReaderError, match=f"{name} of the data set 'made-up' has no SHA-256"):
        corpus_of(tmp_path, tree)


@pytest.mark.fault("D09")
@pytest.mark.fault("D19")
def test_a_recipe_cannot_reach_beyond_its_data(tmp_path):
    tree = make_recipe(tmp_path)
    tifffile.imwrite(tmp_path / "secret.tif", np.zeros((160, 96), np.uint16))
    tree["data"][0]["pairs"][0]["image"] = "../secret.tif"
    with pytest.raises(ReaderError, match="has no SHA-256"):
        corpus_of(tmp_path, tree)


@pytest.mark.fault("F03")
def test_a_stain_of_another_shape_is_refused_with_both(tmp_path):
    tree = make_recipe(tmp_path)
    replace(tmp_path, tree, "dna0.tif", np.zeros((160, 90), np.uint16))
    with pytest.raises(InputError, match=r"dna0\.tif is 160 x 90 px, its image 160 x 96"):
        corpus_of(tmp_path, tree)


@pytest.mark.fault("F01")
def test_a_constant_stain_is_nothing_to_learn(tmp_path):
    tree = make_recipe(tmp_path)
    replace(tmp_path, tree, "dna0.tif", np.full((160, 96), 7, np.uint16))
    with pytest.raises(TrainingError, match="constant: there is nothing to learn"):
        corpus_of(tmp_path, tree)


@pytest.mark.fault("F01")
def test_an_empty_image_and_labels_without_paint_are_refused(tmp_path):
    tree = make_recipe(tmp_path)
    replace(tmp_path, tree, "phase0.tif", np.full((160, 96), 7, np.uint16))
    with pytest.raises(InputError, match=r"phase0\.tif cannot be trained on: All pixels of the image are 7"):
        corpus_of(tmp_path, tree)
    tree = make_recipe(tmp_path)
    replace(tmp_path, tree, "painted.tif", np.zeros((160, 96), np.uint8))
    tree["data"][0]["pairs"][0]["regions"] = "painted.tif"
    with pytest.raises(InputError, match=r"Nothing is painted in painted\.tif: all labels are 0"):
        corpus_of(tmp_path, tree)


def test_a_stain_that_lies_beside_its_image_is_warned_of_with_the_number(tmp_path):
    tree = make_recipe(tmp_path)
    assert corpus_of(tmp_path, tree).warnings == ()
    replace(tmp_path, tree, "dna0.tif", np.roll(read(tmp_path, "dna0.tif"), 12, axis=1))
    (told,) = corpus_of(tmp_path, tree).warnings
    assert float(re.search(r"phase0\.tif: 'DNA' seems to lie ([0-9.]+) px beside", told)[1]) == pytest.approx(12, abs=1)


@pytest.mark.parametrize(("rows", "part"), [((72, 104), "validation"), ((112, 160), "test")])
@pytest.mark.fault("F01")
def test_a_stain_that_is_constant_where_it_is_measured_is_refused(tmp_path, rows, part):
    tree = make_recipe(tmp_path)
    stain = tifffile.imread(tmp_path / "data" / "dna0.tif")
    stain[rows[0] : rows[1]] = 3
    replace(tmp_path, tree, "dna0.tif", stain)
    with pytest.raises(TrainingError, match=f"'DNA' is constant in the {part} part"):
        corpus_of(tmp_path, tree)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.fault("A02")
def test_a_stain_with_pixels_that_are_no_numbers_is_refused(tmp_path, bad):
    tree = make_recipe(tmp_path)
    stain = read(tmp_path, "dna0.tif").astype(np.float32)
    stain[3, 3] = bad
    replace(tmp_path, tree, "dna0.tif", stain)
    with pytest.raises(InputError, match=r"dna0\.tif holds pixels that are no numbers"):
        corpus_of(tmp_path, tree)


def test_a_target_without_a_file_is_named(tmp_path):
    tree = make_recipe(tmp_path)
    tree["targets"].append({"name": "actin"})
    with pytest.raises(InputError, match="no stain 'actin' in the recipe"):
        corpus_of(tmp_path, tree)


def test_a_stack_for_a_model_of_one_plane_is_refused(tmp_path):
    tree = make_recipe(tmp_path)
    replace(tmp_path, tree, "phase0.tif", np.zeros((4, 160, 96), np.uint16))
    with pytest.raises(AxesUnknownError, match=r"4 pictures of 'phase0\.tif'.*axes: in a recipe"):
        corpus_of(tmp_path, tree)
    tree["data"][0]["axes"] = "ZYX"
    with pytest.raises(InputError, match=r"phase0\.tif holds 4 pictures, not one"):
        corpus_of(tmp_path, tree)


def test_a_network_nobody_knows_is_refused(tmp_path):
    with pytest.raises(ModelError, match="'vit' is not known"):
        corpus_of(tmp_path, make_recipe(tmp_path, network={"name": "vit"}))


def test_scales_are_percentiles_over_all_images_together():
    stains = [np.arange(100, dtype=np.float32).reshape(1, 10, 10), np.full((1, 10, 10), 500, np.float32)]
    low, high = target_scales(stains, (1, 99))[0]
    both = np.concatenate([s.ravel() for s in stains])
    assert (low, high) == pytest.approx(tuple(np.percentile(both, (1, 99))), abs=500 / 65536)
    scaled = scale_targets(stains[0], [(10.0, 60.0)])
    np.testing.assert_allclose(scaled, np.clip((stains[0] - 10) / 50, 0, 1), atol=1e-6)


def grouped(tmp_path, groups, split, images=None):
    tree = make_recipe(tmp_path, shape=(32, 32), images=images or len(groups))
    for pair, group in zip(tree["data"][0]["pairs"], groups, strict=True):
        pair["group"] = group
    return {**tree, "split": {"by": "group", **split}}


def test_images_of_one_group_never_stand_on_both_sides(tmp_path):
    groups = ["A1", "A1", "B1", "B1", "C1", "D1", "D1", "E1"]
    split = {"test_fraction": 0.2, "validation_fraction": 0.2, "seed": 3}
    corpus = corpus_of(tmp_path, grouped(tmp_path, groups, split))
    source = {}
    for i, group in enumerate(groups):
        phase = read(tmp_path, f"phase{i}.tif")
        prepared = ((phase - np.median(phase)) / phase.std()).round(2)
        source[prepared.tobytes()] = group
    parts = [{source[p.image[0].astype(float).round(2).tobytes()] for p in part} for part in part_lists(corpus)]
    assert sorted(map(len, parts)) == [1, 1, 3]
    assert set.union(*parts) == set(groups)
    assert sum(len(part) for part in part_lists(corpus)) == len(groups)
    for part, words in zip(parts, ("trained on ", "validated on ", "tested on "), strict=True):
        assert words + ", ".join(sorted(part)) in corpus.description


def test_another_seed_draws_other_groups_and_the_same_the_same(tmp_path):
    def words(seed):
        split = {"test_fraction": 0.3, "seed": seed}
        return corpus_of(tmp_path, grouped(tmp_path, list("ABCDEFGH"), split)).description

    assert words(0) == words(0)
    assert len({words(seed) for seed in range(4)}) > 1


def test_an_image_without_a_group_is_one_of_its_own(tmp_path):
    corpus = corpus_of(tmp_path, grouped(tmp_path, ["", "", ""], {"test_fraction": 0.34}))
    assert [len(part) for part in part_lists(corpus)] == [2, 0, 1]


@pytest.mark.fault("F02")
def test_a_single_group_cannot_be_split_and_the_hint_says_how(tmp_path):
    with pytest.raises(TrainingError, match=r"1 group\(s\) are too few") as caught:
        corpus_of(tmp_path, grouped(tmp_path, ["A", "A"], {"test_fraction": 0.2}))
    assert "by region" in caught.value.hint


def test_the_same_picture_in_two_groups_is_refused(tmp_path):
    tree = grouped(tmp_path, ["A", "B"], {"test_fraction": 0.5})
    replace(tmp_path, tree, "phase1.tif", tifffile.imread(tmp_path / "data" / "phase0.tif"))
    with pytest.raises(TrainingError, match="is the picture of another group too"):
        corpus_of(tmp_path, tree)


def blobs(seed, shape):
    rng = np.random.default_rng(seed)
    cells = sum(ndimage.gaussian_filter((rng.random(shape) < 0.004) * 1.0, s) * s**2 for s in (2.0, 4.0))
    return (cells * 2000 + rng.normal(500, 5, shape)).astype(np.uint16)


def test_one_image_cut_into_overlapping_fields_stays_on_one_side(tmp_path):
    sample = blobs(0, (160, 420))
    tree = grouped(tmp_path, list("ABCDEF"), {"test_fraction": 0.34, "validation_fraction": 0.34})
    for i in range(6):
        field = sample[:, 130 * i : 130 * i + 160] if i < 3 else blobs(i, (160, 160))
        replace(tmp_path, tree, f"phase{i}.tif", field)
        replace(tmp_path, tree, f"dna{i}.tif", field)
    for seed in range(4):
        corpus = corpus_of(tmp_path, {**tree, "split": {**tree["split"], "seed": seed}})
        assert sorted(len(part) for part in part_lists(corpus)) in ([1, 1, 4], [1, 2, 3])
        assert "B" not in corpus.description.replace("by group", "")
        assert "C" not in corpus.description


def test_overlapping_fields_whose_rows_would_leak_are_refused(tmp_path):
    sample = blobs(0, (300, 160))
    tree = make_recipe(tmp_path, shape=(32, 32), images=2)
    for i in range(2):
        for name in (f"phase{i}.tif", f"dna{i}.tif"):
            replace(tmp_path, tree, name, sample[100 * i : 100 * i + 160])
    split = {"by": "region", "train_rows": [[0, 64]], "test_rows": [[96, 160]]}
    with pytest.raises(TrainingError, match=r"phase0\.tif and .*phase1\.tif overlap by 3[78]%"):
        corpus_of(tmp_path, {**tree, "split": split})
    forced = corpus_of(tmp_path, {**tree, "split": {**split, "force_leak": True}})
    assert "LEAKS" in forced.description


def test_pairs_are_found_by_name_and_what_has_no_partner_is_told(tmp_path):
    tree = grouped(tmp_path, list("ABCD"), {"test_fraction": 0.25})
    data = tree["data"][0]
    (tmp_path / "data" / "dna3.tif").unlink()
    found = {**data, "pairs": {"images": "phase*.tif", "targets": "dna*.tif"}, "sha256": {}}
    corpus = run_to_end(load_stains(parse_recipe({**tree, "data": [found]}, "x"), tmp_path))
    assert sorted(len(part) for part in part_lists(corpus)) == [0, 1, 2]
    assert "phase3.tif: there is no stain of this name; left out." in corpus.warnings
    own = corpus.hashes[data["name"]]
    assert own == {name: sha for name, sha in data["sha256"].items() if "3" not in name}
    other = {**found, "pairs": {"images": "p*.tif", "targets": "dapi*"}}
    with pytest.raises(InputError, match="no file 'dapi"):
        run_to_end(load_stains(parse_recipe({**tree, "data": [other]}, "x"), tmp_path))


SIDE = 16


def montage_recipe(tmp_path, repeats=5, padding=4, **split):
    """One montage of 8 x 10 cells, the last ones repeats and padding."""
    tree = make_recipe(tmp_path, shape=(8 * SIDE, 10 * SIDE))
    rng = np.random.default_rng(0)
    phase, stain = (tifffile.imread(tmp_path / "data" / f"{n}0.tif") for n in ("phase", "dna"))
    phase = rng.integers(200, 900, phase.shape).astype(np.uint16)
    for i in range(80 - repeats - padding, 80):
        y, x = (SIDE * v for v in divmod(i, 10))
        where = (slice(y, y + SIDE), slice(x, x + SIDE))
        phase[where] = phase[:SIDE, :SIDE] if i < 80 - padding else rng.integers(500, 503, (SIDE, SIDE))
    replace(tmp_path, tree, "phase0.tif", phase)
    replace(tmp_path, tree, "dna0.tif", stain)
    tree["data"][0]["pairs"][0] |= {"montage": [8, 10, SIDE], "group": "G1"}
    return {**tree, "split": {"by": "group", "test_fraction": 0.25, "validation_fraction": 0.1, **split}}


def cells_of(pairs):
    """Every cell that counts, as bytes."""
    found = []
    for pair in pairs:
        images = cut_montage(pair.image[0], MOSAIC_COLUMNS, MOSAIC_COLUMNS, SIDE)
        counts = cut_montage(pair.weight[0], MOSAIC_COLUMNS, MOSAIC_COLUMNS, SIDE)
        found += [image for image, weight in zip(images, counts, strict=True) if weight.all()]
    return found


def turned(cell):
    """The cell as it lies, turned and mirrored, whichever comes first: the same for all eight."""
    views = [np.rot90(c, k) for c in (cell, cell[:, ::-1]) for k in range(4)]
    return min(v.tobytes() for v in views)


def test_cells_are_split_once_each_repeats_and_padding_dropped(tmp_path):
    corpus = corpus_of(tmp_path, montage_recipe(tmp_path))
    phase = read(tmp_path, "phase0.tif")
    kept = {part: [turned(c) for c in cells_of(getattr(corpus, part))] for part in ("train", "validation", "test")}
    assert [len(kept["test"]), len(kept["validation"])] == [round(0.25 * 71), round(0.1 * 71)]
    assert len(set(kept["test"])) == len(kept["test"])
    assert not set(kept["train"]) & set(kept["test"])
    assert not set(kept["train"]) & set(kept["validation"])
    assert not set(kept["validation"]) & set(kept["test"])
    assert len(set().union(*kept.values())) == 71
    assert corpus.description == "by cell, repeats and padding dropped: 46 train, 7 validation, 18 test"
    assert len(corpus.train) == TRAINING_MOSAICS
    assert corpus.test_cells == ("G1",) * 18
    first = cells_of(corpus.test)[0]
    tiles = cut_montage((phase - np.median(phase)) / phase.std(), 8, 10, SIDE)
    assert min(np.abs(first - tile).max() for tile in tiles) < 1e-3


def test_montages_and_whole_images_are_not_mixed(tmp_path):
    tree = grouped(tmp_path, ["A", "B"], {"test_fraction": 0.5})
    tree["data"][0]["pairs"][0]["montage"] = [2, 2, 16]
    with pytest.raises(TrainingError, match=r"phase1\.tif is no montage of cells, others are"):
        corpus_of(tmp_path, tree)


def test_a_montage_of_another_size_is_refused(tmp_path):
    tree = montage_recipe(tmp_path)
    tree["data"][0]["pairs"][0]["montage"] = [8, 9, SIDE]
    with pytest.raises(InputError, match="montage of 8 x 9 tiles"):
        corpus_of(tmp_path, tree)


def test_rectangles_that_are_left_out_weigh_nothing():
    pair = ImagePair(image="a.tif", left_out=((2, 5, 1, 40), (0, 1, 0, 1)))
    weight = np.ones((1, 8, 9), np.float32)
    found = without_rectangles(weight, pair)
    expected = [[not ((2 <= y < 5 and 1 <= x < 40) or (y == 0 and x == 0)) for x in range(9)] for y in range(8)]
    np.testing.assert_array_equal(found[0], np.array(expected, np.float32))
    assert weight.all()
    with pytest.raises(InputError, match="rows 8-9, columns 0-3 holds no pixel"):
        without_rectangles(weight, ImagePair(image="a.tif", left_out=((8, 9, 0, 3),)))
    with pytest.raises(InputError, match="leave nothing"):
        without_rectangles(weight, ImagePair(image="a.tif", left_out=((0, 8, 0, 9),)))


def test_fields_that_overlap_on_the_stage_stay_on_one_side_though_nothing_in_them_tells(tmp_path):
    tree = grouped(tmp_path, list("ABCD"), {"test_fraction": 0.25, "validation_fraction": 0.25})
    rng = np.random.default_rng(0)
    for i in range(4):
        replace(tmp_path, tree, f"dna{i}.tif", blobs(i, (160, 160)))
        replace(tmp_path, tree, f"phase{i}.tif", rng.normal(500, 20, (160, 160)).astype(np.uint16))
    free = [len(part) for part in part_lists(corpus_of(tmp_path, tree))]
    for i, x_mm in enumerate((0.0, 0.07, 5.0, 9.0)):  # fields of 80 µm
        plane = {"PositionX": x_mm, "PositionXUnit": "mm", "PositionY": -2.0, "PositionYUnit": "mm"}
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Plane": plane}
        path = tmp_path / "data" / f"phase{i}.tif"
        tifffile.imwrite(path, tifffile.imread(path), ome=True, photometric="minisblack", metadata=metadata)
        tree["data"][0]["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    joined = corpus_of(tmp_path, tree)
    assert free == [2, 1, 1]
    assert sorted(len(part) for part in part_lists(joined)) == [1, 1, 2]
    assert "B" not in joined.description.replace("by group", "")
