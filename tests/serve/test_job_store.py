"""The queue of jobs: fair, on the disk, each once."""

import pytest

from vitascope.serve.job import JobRecord, JobRequest, JobState, Outcome
from vitascope.serve.job_store import MOST_ATTEMPTS, JobStore

REQUEST = JobRequest(task="any")


@pytest.fixture
def store(tmp_path):
    found = JobStore(tmp_path)
    yield found
    found.close()


def add(store, *names, client="a"):
    for number, name in enumerate(names):
        store.add(JobRecord(id=name, client=client, request=REQUEST, created=float(number)))


def test_jobs_of_several_users_take_turns(store):
    add(store, "a1", "a2", "a3", "a4", client="ann")
    add(store, "b1", "b2", client="bob")
    assert [store.take().id for _ in range(6)] == ["a1", "b1", "a2", "b2", "a3", "a4"]
    assert store.take() is None


def test_what_was_put_in_is_there_after_a_new_start_and_is_taken_once(store, tmp_path):
    add(store, "one", "two")
    assert store.take().state is JobState.RUNNING
    again = JobStore(tmp_path)
    assert [job.id for job in again.running()] == ["one"]
    again.requeue(again.running()[0])
    assert [again.take().id for _ in range(2)] == ["one", "two"]
    assert again.take() is None
    again.close()


def test_a_job_that_ends_the_service_each_time_is_given_up(store):
    add(store, "one")
    for _ in range(MOST_ATTEMPTS):
        assert store.take().id == "one"
        store.requeue(store.find("one"))
    assert store.find("one").state is JobState.FAILED
    assert f"{MOST_ATTEMPTS} times" in store.find("one").error["message"]


def test_handed_back_it_counts_no_attempt(store):
    add(store, "one")
    store.take()
    store.hand_back("one")
    assert (store.find("one").state, store.find("one").attempts) == (JobState.QUEUED, 0)


def test_a_job_ends_once(store):
    add(store, "one")
    store.take()
    store.end("one", Outcome(state=JobState.DONE, counts={"OK": 2}))
    store.end("one", Outcome(state=JobState.FAILED))
    assert (store.find("one").state, store.find("one").counts) == (JobState.DONE, {"OK": 2})
    assert store.cancel("one") is JobState.DONE
    store.remove("one")
    assert store.find("one") is None


def test_cancelled_it_is_never_taken_and_running_it_is_not_taken_again(store):
    add(store, "one", "two")
    assert store.cancel("one") is JobState.QUEUED
    assert store.take().id == "two"
    assert store.cancel("two") is JobState.RUNNING
    store.requeue(store.find("two"))
    assert store.find("two").state is JobState.CANCELLED
    assert store.cancel("nothing") is None


def test_a_key_is_one_users_own(store):
    job = JobRecord(id="one", client="ann", request=REQUEST, fingerprint="f")
    assert store.add(job, "k").id == "one"
    assert store.add(JobRecord(id="two", client="ann", request=REQUEST), "k").id == "one"
    assert store.add(JobRecord(id="three", client="bob", request=REQUEST), "k").id == "three"
