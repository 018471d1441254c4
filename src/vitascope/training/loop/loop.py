"""The one training loop, for every task: a generator that can be stopped anywhere and resumed bit for bit.

Nothing random outlives a step: crops and dropout of step n are drawn from a seed made of (seed, n). A run resumed from
step n therefore continues exactly as the uninterrupted run did.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from vitascope.core.errors import TrainingError
from vitascope.core.progress import Progress, ProgressGenerator, StopEarly, run_to_end
from vitascope.core.training_params import EpochProgress, Preview, TrainingParams
from vitascope.engine.number_format import autocast, settings
from vitascope.engine.openvino_backend import is_memory_error
from vitascope.training.loop.batches import Batch, Batches
from vitascope.training.loop.checkpoint import PREVIOUS, load_state, save_state
from vitascope.training.loop.optim import learning_rate_factor, start_training
from vitascope.training.loop.state import TrainingState

MAX_BAD_STEPS = 3
MAX_ROLLBACKS = 3


class TrainingJob(ABC):
    """What is trained: a network, and the data and the loss that it is trained by."""

    network: nn.Module

    @abstractmethod
    def batch(self, step: int, size: int) -> Batch:
        """Return the batch of a step: the same one whenever it is asked for."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the scalar to make small, in float32."""

    @abstractmethod
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Measure the network; ``score`` is what the best has most of. Empty without a validation part."""

    def preview(self, network: nn.Module) -> Preview | None:
        """Return a held-out image with its truth and what the network makes of it; None where there is none."""
        return None

    def plain_batch(self, step: int, size: int) -> Batch | None:
        """Return a batch of images as they are, without augmentation, under ``image``; None where there are none.

        On these the averages of batch normalisation are measured anew.
        """
        return None


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Parameters
    ----------
    network : nn.Module
        The best network, in evaluation mode.
    history : list of dict
        One entry an epoch: epoch, loss, learning_rate, and the validation metrics.
    best_epoch : int
    stopped : str
        Why it ended: "finished", "early stop", "stopped" (by the user), "diverged".
    notes : tuple of str
        What the user should know of the run, in sentences.
    start : mapping
        What the starting model measured, where it was.
    quick : mapping
        What a quick answer measured, where there was one.
    quick_kept : bool
        Whether the network is that quick answer.
    """

    network: nn.Module
    history: list[dict[str, float]]
    best_epoch: int
    stopped: str
    notes: tuple[str, ...]
    start: Mapping[str, float] = field(default_factory=dict)
    quick: Mapping[str, float] = field(default_factory=dict)
    quick_kept: bool = False


def train(
    job: TrainingJob,
    params: TrainingParams,
    *,
    device: str = "cpu",
    precision: str = "f32",
    folder: Path | None = None,
    fingerprint: str = "",
    measure_start: bool = False,
    quick: Mapping[str, float] | None = None,
) -> ProgressGenerator[Trained]:
    """Train a network.

    :class:`StopEarly` thrown in ends the run: the epoch that was begun is measured, and the best network returned.

    Parameters
    ----------
    job : TrainingJob
    params : TrainingParams
    device : str
        ``cpu``, ``cuda:0``, ``mps``.
    precision : {"f32", "bf16", "f16"}
        Of the forward pass; weights and losses stay float32.
    folder : Path, optional
        Where checkpoints go; an interrupted run there is resumed.
    fingerprint : str
        Names data and parameters; a checkpoint of another run is refused.
    measure_start : bool
        Whether the network is one worth beating: it is measured first, and all progress carries its figures.
    quick : mapping, optional
        What another answer measured, to be carried by all progress.

    Yields
    ------
    EpochProgress
        Before the first step, where the start is measured or a run is resumed, and after each step; ``preview`` is set
        after each epoch.

    Returns
    -------
    Trained

    Raises
    ------
    TrainingError
        If the checkpoint in ``folder`` is of another run, or the job cannot settle.
    OutputError
        If a checkpoint cannot be written; earlier ones stay.
    """
    if params.bn_stats_steps and job.plain_batch(0, 1) is None:
        raise TrainingError("This training has no plain images to settle on.", "Set bn_stats_steps to 0.")
    state = TrainingState(job.network, params, torch.device(device))
    state.quick = dict(quick or {})
    if measure_start:
        state.start, state.picture = _measure(job, state.network)
    notes = _resume(state, folder, fingerprint) if folder is not None else []

    def save() -> None:
        if folder is not None and state.step:
            save_state(folder, {**state.to_dict(), "fingerprint": fingerprint})

    batches = Batches(job.batch, params.batch_size, state.device)
    try:
        stopped = yield from _epochs(job, state, params, precision, batches, save)
    except StopEarly as stop:
        if not state.step:
            raise TrainingError("Training was stopped before its first step: there is no new model.") from stop
        stopped = "stopped"
        if state.losses:
            _end_epoch(job, state, params, -(-state.step // params.steps_per_epoch))
    except GeneratorExit:
        save()
        raise
    finally:
        batches.close()
    if state.best_epoch < 0:
        raise TrainingError(
            "The loss was never a number: nothing was learnt.", "Check the images, or take a smaller learning rate."
        )
    state.network.load_state_dict(state.best)
    if params.bn_stats_steps:
        yield from recompute_bn_stats(job, state.network, params)
    notes += _notes(state, stopped)
    return Trained(
        network=state.network.cpu().eval(),
        history=state.history,
        best_epoch=state.best_epoch,
        stopped=stopped,
        notes=tuple(notes),
        start=state.start,
        quick=state.quick,
    )


def _epochs(
    job: TrainingJob,
    state: TrainingState,
    params: TrainingParams,
    precision: str,
    batches: Batches,
    save: Callable[[], None],
) -> ProgressGenerator[str]:
    """Train to the end, and say why it ended."""
    if state.start or state.step:
        yield _progress(state, params)
    while state.step < params.epochs * params.steps_per_epoch:
        with settings(state.device, precision):  # the process's own: not held while the caller has its turn
            if not _step(job, state, params, precision, batches):
                return "diverged"
            epoch, within = divmod(state.step, params.steps_per_epoch)
            if within == 0:
                _end_epoch(job, state, params, epoch)
                save()
        yield _progress(state, params)
        if within == 0 and params.patience and epoch - state.best_epoch >= params.patience:
            return "early stop"
    return "finished"


def _notes(state: TrainingState, stopped: str) -> list[str]:
    notes = []
    if stopped == "diverged":
        notes.append(
            "The loss was not a number three times in a row, after halving the learning rate too: training stopped, "
            "the best epoch was kept."
        )
    if state.best_score <= state.start.get("score", -math.inf):
        notes.append("No epoch did better than the starting model on the validation part.")
    return notes


def _progress(state: TrainingState, params: TrainingParams) -> EpochProgress:
    total = params.epochs * params.steps_per_epoch
    epoch, within = divmod(state.step, params.steps_per_epoch)
    ended = within == 0 and state.step > 0
    return EpochProgress(
        done=state.step,
        total=total,
        stage=f"epoch {min(epoch + (not ended), params.epochs)} of {params.epochs}",
        epoch=epoch,
        loss=state.history[-1]["loss"] if ended else _mean(state.losses),
        metrics=state.history[-1] if state.history else {},
        preview=ended,
        history=tuple(state.history),
        start=state.start,
        quick=state.quick,
        picture=state.picture,
    )


def _measure(job: TrainingJob, network: nn.Module) -> tuple[dict[str, float], Preview | None]:
    """Validate a network, and look at what it makes of a held-out image."""
    network.eval()
    with torch.inference_mode():
        metrics = job.validate(network)
        picture = job.preview(network)
    start_training(network)
    return metrics, picture


def _resume(state: TrainingState, folder: Path, fingerprint: str) -> list[str]:
    loaded = load_state(folder)
    if loaded is None:
        return []
    saved, name = loaded
    if saved.get("fingerprint") != fingerprint:
        raise TrainingError(
            f"The folder {folder.name} holds the checkpoint of another training run.",
            "Choose another folder, or delete it to start anew.",
        )
    state.from_dict(saved)
    return ["The latest checkpoint was damaged; the one before it was used."] if name == PREVIOUS else []


def _end_epoch(job: TrainingJob, state: TrainingState, params: TrainingParams, epoch: int) -> None:
    metrics, state.picture = _measure(job, state.evaluated)
    if metrics and params.bn_stats_steps:  # measured as it would be used
        settled = copy.deepcopy(state.evaluated)
        run_to_end(recompute_bn_stats(job, settled, params))
        metrics, state.picture = _measure(job, settled)
    rate = state.optimizer.param_groups[0]["lr"]
    state.history.append({"epoch": epoch, "loss": _mean(state.losses), "learning_rate": rate, **metrics})
    state.losses = []
    score = metrics.get("score", math.inf)  # without a validation part the latest weights are the ones to keep
    if score >= state.best_score:
        state.keep_best(score, epoch)
    if params.schedule == "plateau" and epoch - max(state.best_epoch, state.lowered) >= params.decay_epochs:
        state.rate *= params.decay_factor
        state.lowered = epoch
    state.good = state.snapshot()


def recompute_bn_stats(job: TrainingJob, network: nn.Module, params: TrainingParams) -> ProgressGenerator[None]:
    """Measure the averages of batch normalisation anew, on images as they are.

    During training they are averages over augmented images (and, where weights are averaged, over networks that are no
    more): both shift what the network answers on a real image.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    network.eval()
    for norm in norms:
        norm.train()
    device = next(network.parameters()).device
    for step in range(params.bn_stats_steps):
        yield Progress(step, params.bn_stats_steps, "settling")
        batch = job.plain_batch(step, params.batch_size)
        assert batch is not None
        with torch.no_grad():
            network(batch["image"].to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _step(job: TrainingJob, state: TrainingState, params: TrainingParams, precision: str, batches: Batches) -> bool:
    """Take one step; False when the loss stayed no number after all roll-backs."""
    total = params.epochs * params.steps_per_epoch
    for group in state.optimizer.param_groups:
        group["lr"] = params.learning_rate * state.rate * learning_rate_factor(state.step, total, params)
    with seeded(params.seed, state.step):
        loss = _backward(job, state, params, precision, batches.get(state.step))
    state.step += 1
    if not math.isfinite(loss):
        state.optimizer.zero_grad(set_to_none=True)
        state.bad_steps += 1
        if state.bad_steps >= MAX_BAD_STEPS:
            state.bad_steps = 0
            state.rollbacks += 1
            state.rate /= 2
            if state.good is not None:
                state.restore(state.good)
        return state.rollbacks < MAX_ROLLBACKS
    if params.clip_norm is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), params.clip_norm)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.bad_steps = 0
    state.losses.append(loss)
    if state.average is not None:
        _update_average(state.average, state.network, min(params.average_decay, state.step / (state.step + 10)))
    return True


def _backward(job: TrainingJob, state: TrainingState, params: TrainingParams, precision: str, batch: Batch) -> float:
    """Add up gradients over the batch, in smaller parts when memory runs short; return the loss."""
    device = state.device
    while True:
        try:
            state.optimizer.zero_grad(set_to_none=True)
            loss = 0.0
            for part in _parts(batch, state.micro_batch):
                share = len(next(iter(part.values()))) / len(next(iter(batch.values())))
                moved = {k: v.to(device, non_blocking=True) for k, v in part.items()}
                with autocast(device, precision):
                    value = job.loss(state.network, moved) * share
                if params.l1:
                    value = value + params.l1 * share * sum(p.abs().sum() for p in state.network.parameters())
                value.backward()  # type: ignore[no-untyped-call]
                loss += float(value.detach())
            return loss
        except (MemoryError, RuntimeError) as error:
            if not is_memory_error(error) or state.micro_batch == 1:
                raise
            state.micro_batch = max(1, state.micro_batch // 2)


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    length = len(next(iter(batch.values())))
    for start in range(0, length, size):
        yield {k: v[start : start + size] for k, v in batch.items()}


@torch.no_grad()
def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


@contextmanager
def seeded(seed: int, step: int) -> Iterator[None]:
    """Draw torch's random numbers from (seed, step) within, and leave the caller's as they were."""
    with torch.random.fork_rng():
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        yield
