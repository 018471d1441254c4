"""What the service answers when something goes wrong that nobody foresaw, and what it offers of each task."""

import asyncio
import contextlib
import json
import logging

import pytest

from vitascope.serve.access import Gate
from vitascope.serve.app import Service, create_app, wanted_format
from vitascope.serve.job_store import JobStore
from vitascope.serve.problems import RefusedError
from vitascope.serve.settings import Limits, ServiceSettings
from vitascope.serve.supervisor import Supervisor
from vitascope.tasks.registry import TASKS


@pytest.fixture
def service(tmp_path):
    (tmp_path / "data").mkdir()
    settings = ServiceSettings(root=tmp_path, data=tmp_path / "data", limits=Limits(waiting=1))
    store = JobStore(settings.data)
    yield Service(settings, store, Supervisor(settings, store), ())
    store.close()


def ask(service, path, host=b"127.0.0.1", method="GET", body=b"", kind=b"application/json", more=()):
    """Ask the application itself, without a network."""
    said = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        said.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", host), (b"content-type", kind), *more],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def run():
        with contextlib.suppress(ZeroDivisionError):  # handed on to the server's log, after the answer
            await Gate(create_app(service), service.settings)(scope, receive, send)

    asyncio.run(run())
    text = b"".join(message.get("body", b"") for message in said)
    return said[0]["status"], dict(said[0]["headers"]), json.loads(text) if text else None


@pytest.mark.fault("I09")
def test_an_error_that_nobody_foresaw_is_a_number_and_nothing_more(service, monkeypatch, caplog):
    def broken(*_):
        return 1 / 0

    monkeypatch.setattr(service.store, "count", broken)
    with caplog.at_level(logging.ERROR, "vitascope.serve"):
        status, headers, told = ask(service, "/health")
    assert (status, headers[b"content-type"]) == (500, b"application/problem+json")
    assert "number" in told["message"]
    assert "division" not in json.dumps(told)
    assert told["message"].split("number ")[1][:8] in caplog.text
    monkeypatch.undo()
    assert ask(service, "/health")[0] == 200


def test_answers_carry_the_headers_that_keep_a_browser_safe(service):
    for host, status in ((b"localhost", 200), (b"[::1]:8765", 200), (b"evil.example", 403), (b"[", 403), (b"", 403)):
        got, headers, _ = ask(service, "/health", host)
        assert got == status
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]


def test_a_service_with_enough_to_do_says_so(service):
    body = json.dumps({"task": TASKS[0].name, "files": ["a"]}).encode()
    (service.settings.root / "a").mkdir()
    answers = [ask(service, "/v1/jobs", method="POST", body=body) for _ in range(2)]
    assert [status for status, _, _ in answers] == [202, 503]
    assert answers[1][1][b"retry-after"]
    assert len(list((service.settings.data / "jobs").iterdir())) == 1


def test_a_request_that_is_repeated_finds_its_job_also_where_the_queue_is_full(service):
    body = json.dumps({"task": TASKS[0].name, "files": ["a"]}).encode()
    (service.settings.root / "a").mkdir()
    key = [(b"idempotency-key", b"k")]
    answers = [ask(service, "/v1/jobs", method="POST", body=body, more=key) for _ in range(2)]
    assert [status for status, _, _ in answers] == [202, 202]
    assert answers[1][1][b"idempotent-replayed"] == b"true"
    other = json.dumps({"task": TASKS[0].name, "files": ["a", "a"]}).encode()
    assert ask(service, "/v1/jobs", method="POST", body=other, more=key)[0] == 422
    assert len(list((service.settings.data / "jobs").iterdir())) == 1


def test_every_parameter_of_every_task_is_described(service):
    schema = ask(service, "/openapi.json")[2]
    for spec in TASKS:
        known = schema["components"]["schemas"][spec.params.__name__]["properties"]
        for name, field in spec.params.model_fields.items():
            assert known[name]["description"] == field.description
    form = schema["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"task", "image", "params", "reference", "map", "plate"} <= set(form["properties"])
    for path, methods in schema["paths"].items():
        for one in methods.values():
            assert "application/problem+json" in one["responses"]["400"]["content"], path


@pytest.mark.parametrize(
    ("accept", "asked", "kind"),
    [("", None, "json"), ("*/*", None, "json"), ("text/csv", None, "csv"), ("text/*", None, "csv"),
     ("text/html, application/json;q=0.9", None, "json"), ("application/json", "parquet", "parquet"),
     ("text/csv;q=0.1, application/json;q=0.9", None, "json"), ("TEXT/CSV", None, "csv"), (",,", None, "json")],
)  # fmt: skip
def test_the_format_is_the_one_that_is_liked_most_or_what_is_asked_for(accept, asked, kind):
    assert wanted_format(accept, asked) == kind


@pytest.mark.parametrize(
    ("accept", "asked", "status"), [("image/png", None, 406), ("text/csv;q=0", None, 406), ("*/*", "xml", 422)]
)
def test_other_formats_are_refused(accept, asked, status):
    with pytest.raises(RefusedError) as caught:
        wanted_format(accept, asked)
    assert caught.value.status == status


def test_an_address_says_which_methods_it_takes(service):
    status, headers, _ = ask(service, "/v1/jobs", method="PUT")
    assert (status, headers[b"allow"]) == (405, b"GET, POST")


def test_every_link_of_the_description_leads_to_an_address_that_is_there(service):
    described = create_app(service).openapi()
    known = {
        one["operationId"] for path in described["paths"].values() for one in path.values() if "operationId" in one
    }
    links = described["paths"]["/v1/jobs"]["post"]["responses"]["202"]["links"]
    assert {"job", "end", "events", "result", "files"} == set(links)
    assert {one["operationId"] for one in links.values()} <= known


def test_a_form_takes_no_null_and_a_result_names_its_formats(service):
    described = create_app(service).openapi()
    form = described["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["planes"]["enum"] == ["stack", "projection"]
    assert "null" not in json.dumps([field for name, field in form["properties"].items() if name != "params"])
    (asked,) = [
        one for one in described["paths"]["/v1/jobs/{job_id}/result"]["get"]["parameters"] if one["name"] == "format"
    ]
    assert asked["schema"]["enum"] == ["json", "csv", "parquet"]
