import hashlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from vitascope.core.errors import TrainingError
from vitascope.core.progress import run_to_end
from vitascope.recipes.recipe import parse_recipe
from vitascope.training.data.laboratories import load_stains
from vitascope.training.samplers.crops import CropSampler
from vitascope.training.seen import Seen

SIDE = 96


@pytest.fixture
def folder(tmp_path):
    """Three laboratories: one of two fields, one whose stain lies aside in another channel, one of stains alone."""
    rng = np.random.default_rng(0)
    for name in ("a1", "a2"):
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.integers(100, 900, (SIDE, SIDE)).astype(np.uint16))
        tifffile.imwrite(tmp_path / f"{name}_dna.tif", rng.integers(0, 50, (SIDE, SIDE)).astype(np.uint16))
    b = rng.integers(0, 255, (3, SIDE, SIDE)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", b, photometric="minisblack")
    cells = np.zeros((SIDE, SIDE), np.float32)
    cells[30:50, 30:50] = 1
    tifffile.imwrite(tmp_path / "c_actin.tif", 1000 * cells)
    tifffile.imwrite(tmp_path / "c_dna.tif", 60000 * cells)
    return tmp_path


def data(folder, name, laboratory, pairs, **more):
    used = {v for p in pairs for v in (p["image"], *p["targets"].values())}
    sha = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in used}
    text = {"url": "https://example.org", "licence": "CC0-1.0", "credit": "nobody", "folder": "."}
    return {"name": name, "laboratory": laboratory, "pairs": pairs, "sha256": sha, **text, **more}


def recipe(folder, **split):
    a = [{"image": f"{n}.tif", "targets": {"nuclei": f"{n}_dna.tif"}} for n in ("a1", "a2")]
    b = [
        {
            "image": "b.tif", "targets": {"nuclei": "b.tif"}, "channel": 2, "target_channel": 1,
            "target_shift_px": [3, -5], "ignore": [[10, 20, 30, 50]],
        }
    ]  # fmt: skip
    c = [{"image": "c_actin.tif", "targets": {"nuclei": "c_dna.tif"}}]
    return parse_recipe(
        {
            "task": "stain", "id": "any", "title": "t", "summary": "s", "limitations": "l", "licence": "CC0-1.0",
            "credit": "c", "split": {"by": "group", **split}, "targets": [{"name": "nuclei"}],
            "input": {"modality": "any", "channels": ["light"], "normalisation": {"method": "standard"}},
            "network": {"name": "unet", "arguments": {"in_channels": 1, "out_channels": 1, "width": 0.25}},
            "crop_px": 32,
            "data": [
                data(folder, "A", "a", a),
                data(folder, "B", "b", b, axes="CYX"),
                data(folder, "C", "c", c, share=0.5, rendered={"views": 3, "nucleus_px": 20}),
            ],
        },
        "test",
    )  # fmt: skip


def load(folder, **split):
    return run_to_end(load_stains(recipe(folder, **split), folder))


def test_each_laboratory_has_its_own_scale_of_the_stain(folder):
    for pair in load(folder).train:
        assert 0 <= pair.target.min() < 0.05
        assert 0.95 < pair.target.max() <= 1


def test_crops_are_drawn_evenly_from_laboratories_by_their_share(folder):
    made = recipe(folder)
    corpus = run_to_end(load_stains(made, folder))
    names = ["a", "a", "b", "c", "c", "c"]
    assert [p.image.shape for p in corpus.train] == [(1, SIDE, SIDE)] * 6
    areas = {n: sum(p.chance * SIDE * SIDE for p, m in zip(corpus.train, names, strict=True) if m == n) for n in "abc"}
    assert areas == pytest.approx({"a": 1, "b": 1, "c": 0.5})
    marked = [replace(p, numbers=np.array([i], np.float32)) for i, p in enumerate(corpus.train)]
    sampler = CropSampler(marked, 32, made.augment, made.keep, 0)
    drawn = np.concatenate([sampler.batch(step, 50)["numbers"].numpy().ravel() for step in range(12)]).astype(int)
    shares = {n: np.mean([names[i] == n for i in drawn]) for n in "abc"}
    assert shares == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2}, abs=0.07)


def test_a_stain_that_lies_aside_is_moved_and_what_is_left_out_does_not_count(folder):
    pair = load(folder).train[2]
    stored = tifffile.imread(folder / "b.tif")
    moved = stored[1, 7, 25].astype(float)
    low, high = np.percentile(np.roll(stored[1], (3, -5), (0, 1))[pair.weight[0] > 0], (1, 99.9))
    assert pair.target[0, 10, 20] == pytest.approx(np.clip((moved - low) / (high - low), 0, 1), abs=0.05)
    assert not pair.weight[0, :3].any()
    assert not pair.weight[0, :, -5:].any()
    assert not pair.weight[0, 10:20, 30:50].any()
    assert pair.weight[0, 5, 5] == 1


def test_light_drawn_through_stains_is_another_picture_each_time_and_its_truth_the_same(folder):
    drawn = load(folder).train[3:]
    assert not np.allclose(drawn[0].image, drawn[1].image)
    np.testing.assert_array_equal(drawn[0].target, drawn[1].target)


def test_a_laboratory_left_out_is_nowhere_in_training(folder):
    corpus = load(folder, train_groups=["a", "c"], test_groups=["b"])
    assert len(corpus.train) == 5
    assert len(corpus.test) == 1
    assert "tested on b" in corpus.description
    seen = tifffile.imread(folder / "b.tif")[2].astype(float)
    for pair in corpus.train:
        assert abs(np.corrcoef(pair.image[0].ravel(), seen.ravel())[0, 1]) < 0.1
    assert len(Seen.of(corpus.fingerprints).fingerprints) == 2


def test_laboratories_named_for_some_data_only_are_refused(folder):
    made = recipe(folder)
    mixed = made.model_copy(update={"data": (made.data[0].model_copy(update={"laboratory": ""}), *made.data[1:])})
    with pytest.raises(TrainingError, match="laboratory"):
        run_to_end(load_stains(mixed, folder))
