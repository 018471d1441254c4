import threading

import pytest
import torch

from vitascope.training.loop.batches import Batches

CPU = torch.device("cpu")


def make(step, size):
    return {"image": torch.full((size, 1), float(step))}


@pytest.mark.parametrize("ahead", [False, True])
def test_each_step_gets_its_own_batch_also_after_a_jump(ahead):
    batches = Batches(make, 3, CPU, ahead)
    for step in (0, 1, 2, 7, 8, 3):
        found = batches.get(step)["image"]
        assert found.shape == (3, 1)
        assert (found == step).all()
    batches.close()


def test_the_next_batch_is_made_beside_the_step_on_a_thread_of_its_own():
    made = threading.Event()

    def told(step, size):
        if step == 1:
            assert threading.current_thread() is not threading.main_thread()
            made.set()
        return make(step, size)

    batches = Batches(told, 2, CPU, ahead=True)
    batches.get(0)
    assert made.wait(5)
    batches.close()


def test_a_batch_that_cannot_be_made_fails_at_its_step():
    def broken(step, size):
        if step == 1:
            raise ValueError("broken")
        return make(step, size)

    batches = Batches(broken, 2, CPU, ahead=True)
    batches.get(0)
    with pytest.raises(ValueError, match="broken"):
        batches.get(1)
    batches.close()


def test_on_the_processor_nothing_is_prepared_ahead():
    seen = []
    batches = Batches(lambda step, size: seen.append(step) or make(step, size), 1, CPU)
    batches.get(0)
    assert seen == [0]
