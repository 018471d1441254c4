import math

import pytest
import torch
from torch import nn

from vitascope.core.errors import OutputError, TrainingError
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.training.loop import checkpoint
from vitascope.training.loop.checkpoint import LATEST, PREVIOUS, load_state
from vitascope.training.loop.loop import TrainingJob, learning_rate_factor, train

PARAMS = TrainingParams(epochs=4, steps_per_epoch=5, batch_size=4, average_decay=0.9, learning_rate=0.01)


class Line(TrainingJob):
    """Fits y = 2 x - 1 with a small network that has dropout and batch statistics."""

    def __init__(self):
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 1))
        self.bad_steps = ()
        self.most = 1000

    def batch(self, step, size):
        x = torch.rand(size, 1, generator=torch.Generator().manual_seed(step))
        y = 2 * x - 1
        return {"x": x, "y": y * math.nan if step in self.bad_steps else y}

    def loss(self, network, batch):
        if len(batch["x"]) > self.most:
            raise MemoryError
        return ((network(batch["x"]) - batch["y"]) ** 2).mean()

    def validate(self, network):
        x = torch.linspace(0, 1, 11)[:, None]
        return {"score": -float(((network(x) - (2 * x - 1)) ** 2).mean())}


class Settling(Line):
    def plain_batch(self, step, size):
        return {"image": 3 + torch.rand(size, 1, generator=torch.Generator().manual_seed(1000 + step))}


def weights(trained):
    return torch.cat([p.flatten().double() for p in trained.network.state_dict().values()])


def test_learns():
    trained = run_to_end(train(Line(), PARAMS.model_copy(update={"epochs": 60})))
    assert trained.history[-1]["score"] > 0.2 * trained.history[0]["score"]
    assert trained.history[trained.best_epoch - 1]["score"] == max(h["score"] for h in trained.history)


@pytest.mark.parametrize("stop_after", [1, 7, 13, 19])
@pytest.mark.fault("F08")
def test_stopped_anywhere_and_resumed_equals_uninterrupted_to_the_bit(tmp_path, stop_after):
    expected = run_to_end(train(Line(), PARAMS))
    steps = train(Line(), PARAMS, folder=tmp_path, fingerprint="a")
    for _ in range(stop_after):
        next(steps)
    steps.close()
    torch.manual_seed(99)
    resumed = run_to_end(train(Line(), PARAMS, folder=tmp_path, fingerprint="a"))
    assert torch.equal(weights(resumed), weights(expected))
    assert resumed.history == expected.history


def test_callers_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    job = Line()
    torch.manual_seed(5)
    run_to_end(train(job, PARAMS))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.fault("F09")
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    expected = run_to_end(train(Line(), PARAMS))
    steps = train(Line(), PARAMS, folder=tmp_path, fingerprint="a")
    for _ in range(12):
        next(steps)
    steps.close()
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:100])
    resumed = run_to_end(train(Line(), PARAMS, folder=tmp_path, fingerprint="a"))
    assert torch.equal(weights(resumed), weights(expected))
    assert any("damaged" in note for note in resumed.notes)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run_to_end(train(Line(), PARAMS, folder=tmp_path, fingerprint="a"))
    with pytest.raises(TrainingError, match="another training run"):
        run_to_end(train(Line(), PARAMS, folder=tmp_path, fingerprint="b"))


@pytest.mark.fault("F13")
def test_a_full_disk_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    steps = train(Line(), PARAMS, folder=tmp_path, fingerprint="a")
    for _ in range(6):
        next(steps)

    def full(path, data):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(OutputError):
        run_to_end(steps)
    assert {p.name for p in tmp_path.iterdir()} <= {LATEST, PREVIOUS}
    assert load_state(tmp_path)[0]["numbers"]["step"] == 5


@pytest.mark.fault("F06")
def test_a_loss_that_is_no_number_is_skipped():
    job = Line()
    job.bad_steps = (3, 8)
    trained = run_to_end(train(job, PARAMS))
    assert trained.stopped == "finished"
    assert all(math.isfinite(h["loss"]) for h in trained.history)


@pytest.mark.fault("F06")
def test_three_in_a_row_roll_back_and_halve_the_rate_then_stop_with_the_best():
    job = Line()
    job.bad_steps = range(7, 100)
    trained = run_to_end(train(job, PARAMS))
    assert trained.stopped == "diverged"
    assert trained.history[trained.best_epoch - 1]["score"] == trained.history[0]["score"]
    assert torch.isfinite(weights(trained)).all()
    job = Line()
    job.bad_steps = (6, 7, 8)
    trained = run_to_end(train(job, PARAMS))
    assert trained.history[-1]["learning_rate"] == pytest.approx(PARAMS.learning_rate / 2)


@pytest.mark.fault("F12")
def test_out_of_memory_halves_the_batch_and_adds_gradients_up():
    """With a network free of batch statistics, parts of a batch add up to the gradient of the whole."""

    def run(most):
        job = Line()
        torch.manual_seed(3)
        job.network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        job.most = most
        return weights(run_to_end(train(job, PARAMS)))

    torch.testing.assert_close(run(1), run(4), rtol=0, atol=1e-6)


def test_early_stopping_keeps_the_best():
    job = Line()
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    job.validate = lambda network: {"score": next(scores)}
    trained = run_to_end(train(job, PARAMS.model_copy(update={"epochs": 6, "patience": 2})))
    assert (trained.stopped, trained.best_epoch, len(trained.history)) == ("early stop", 2, 4)


def test_without_a_validation_part_the_last_weights_are_kept():
    job = Line()
    job.validate = lambda network: {}
    assert run_to_end(train(job, PARAMS)).best_epoch == PARAMS.epochs


def test_schedules():
    cosine = TrainingParams(schedule="cosine", warmup_steps=10)
    assert learning_rate_factor(4, 100, cosine) == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi * 0.04)))
    stages = TrainingParams(schedule="steps", decay_factor=0.9, decay_epochs=10, steps_per_epoch=5)
    assert [learning_rate_factor(s, 500, stages) for s in (49, 50, 100)] == pytest.approx([1, 0.9, 0.81])


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "sgd"])
def test_every_optimiser_lowers_the_loss(optimizer):
    rate = {"adam": 0.01, "adadelta": 1.0, "sgd": 0.05}[optimizer]
    params = TrainingParams(epochs=10, steps_per_epoch=20, batch_size=8, optimizer=optimizer, learning_rate=rate)
    trained = run_to_end(train(Line(), params))
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]


def test_l1_pulls_weights_to_zero():
    plain = run_to_end(train(Line(), PARAMS)).network[0].weight.abs().sum()
    pulled = run_to_end(train(Line(), PARAMS.model_copy(update={"l1": 0.1}))).network[0].weight.abs().sum()
    assert pulled < plain


def test_settling_measures_the_averages_on_plain_images_and_leaves_the_weights():
    job, same = Settling(), Line()
    job.validate = same.validate = lambda network: {}
    before = run_to_end(train(same, PARAMS))
    trained = run_to_end(train(job, PARAMS.model_copy(update={"bn_stats_steps": 6})))
    first, norm = trained.network[0], trained.network[1]
    assert torch.equal(first.weight, before.network[0].weight)
    with torch.no_grad():
        seen = [first(job.plain_batch(k, PARAMS.batch_size)["image"]) for k in range(6)]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in seen]).mean(0))
    assert not trained.network.training
    assert norm.momentum == before.network[1].momentum


def test_what_will_be_settled_is_validated_settled():
    """Averages over augmented images say nothing of a real one: the score is that of the model that is kept."""
    params = PARAMS.model_copy(update={"bn_stats_steps": 6})
    trained = run_to_end(train(Settling(), params))
    kept = trained.history[trained.best_epoch - 1]["score"]
    with torch.inference_mode():
        assert Settling().validate(trained.network)["score"] == pytest.approx(kept)


def test_settling_wants_plain_images():
    with pytest.raises(TrainingError, match="plain images"):
        run_to_end(train(Line(), PARAMS.model_copy(update={"bn_stats_steps": 6})))


def test_on_a_plateau_the_rate_falls_once_for_each_stretch_without_a_better_score():
    class Flat(Line):
        def validate(self, network):
            return {"score": -float(self.seen.pop(0))}

    job = Flat()
    job.seen = [3, 2, 5, 5, 5, 5, 1, 5]  # epochs 1 to 8; the best so far at 1, 2 and 7
    params = PARAMS.model_copy(
        update={"epochs": 8, "schedule": "plateau", "decay_factor": 0.5, "decay_epochs": 2, "average_decay": 0.0}
    )
    rates = [h["learning_rate"] for h in run_to_end(train(job, params)).history]
    assert rates == pytest.approx([0.01] * 4 + [0.005] * 2 + [0.0025] * 2)
