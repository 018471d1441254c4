import itertools

import pytest

from vitascope.batch.workers import threads_each, under_way


@pytest.mark.fault("E14")
@pytest.mark.parametrize(("cores", "workers"), [*itertools.product((1, 2, 4, 7, 16, 64), (1, 2, 3, 4, 16, 32))])
def test_never_more_threads_compute_than_there_are_cores(cores, workers):
    threads = threads_each(cores, workers)
    slots = under_way(cores, workers, threads)
    in_networks = min(slots, workers)
    assert threads >= 1
    assert slots >= 1
    assert in_networks * threads + (slots - in_networks) <= cores


@pytest.mark.parametrize(("cores", "workers", "threads"), [*itertools.product((1, 2, 4, 16), (1, 2, 4), (1, 2, 8))])
def test_a_plan_of_another_machine_is_kept_with_fewer_images_under_way(cores, workers, threads):
    slots = under_way(cores, workers, threads)
    in_networks = min(slots, workers)
    assert slots == 1 or in_networks * threads + (slots - in_networks) <= cores
