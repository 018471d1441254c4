"""What ``/openapi.json`` tells beyond the code: the body of a job, its parameters with units and bounds, errors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.openapi.utils import get_openapi

from vitascope.serve.job import JobRequest
from vitascope.stats.response.params import ResponseParams
from vitascope.tasks.registry import TASKS

AskedFormat = Annotated[
    str | None,
    Query(
        description="Instead of the header Accept.",
        json_schema_extra={"type": "string", "enum": ["json", "csv", "parquet"]},
    ),
]

PROBLEM = {
    "type": "object",
    "description": "An error as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "message", "hint"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "Message and hint."},
        "message": {"type": "string", "description": "What is wrong, in one sentence."},
        "hint": {"type": "string", "description": "What to do about it."},
        "flag": {"type": "string", "description": "One word for it, as in the column 'flags'."},
    },
}
MEANINGS = {
    400: "The request cannot be read.",
    401: "No token that is known here.",
    403: "Not allowed with this token, or from this page.",
    404: "There is nothing of this name.",
    408: "It was sent too slowly.",
    406: "The result has no such format.",
    409: "The job has no result, or not yet.",
    413: "Too large.",
    415: "Neither a form nor JSON.",
    422: "Something given cannot be used.",
    429: "Too many jobs of one user.",
    503: "Too many jobs, or the disk is full.",
}
ROW = {
    "type": "object",
    "description": "One row, keyed as the columns of results.csv.",
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that an address may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": MEANINGS[status], "content": content} for status in (*statuses, 400)}


def job_links() -> dict[int | str, dict[str, Any]]:
    """Say which addresses take the id of a job that was started."""
    known = {
        "job": "job_v1_jobs__job_id__get",
        "end": "end_v1_jobs__job_id__delete",
        "events": "events_v1_jobs__job_id__events_get",
        "result": "result_v1_jobs__job_id__result_get",
        "files": "all_files_v1_jobs__job_id__files_get",
    }
    given = {"parameters": {"job_id": "$response.body#/id"}}
    links = {name: {"operationId": operation, **given} for name, operation in known.items()}
    return {202: {"description": "The job, and where it stands.", "links": links}}


def tables(name: str = "results.csv") -> dict[int | str, dict[str, Any]]:
    """Describe the formats of a table."""
    return {
        200: {
            "description": f"The rows of {name}.",
            "content": {
                "application/json": {"schema": {"type": "array", "items": ROW}},
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


def job_body() -> dict[str, Any]:
    """Describe what a job is started with: a form with files, or JSON with names of files."""
    fields = JobRequest.model_json_schema()["properties"]
    given = {name: field for name, field in fields.items() if not field.get("readOnly")}
    given["task"] = {**given["task"], "enum": [spec.name for spec in TASKS]}
    given["params"] = {
        "description": given["params"]["description"],
        "anyOf": [{"$ref": f"#/components/schemas/{spec.params.__name__}"} for spec in TASKS],
    }
    file = {"type": "string", "format": "binary"}
    form = {
        **{name: _in_form(field) for name, field in given.items()},
        "image": {"type": "array", "items": file, "description": "Images: TIFF, OME-TIFF, PNG, CZI, LIF or ND2."},
        "reference": {"type": "array", "items": file, "description": "The second image of each, in order."},
        "map": {**file, "description": "Plate map, or the name of one below the root."},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": _body(form, "image", "files", "plate"),
                    "encoding": {"params": {"contentType": "application/json"}},
                },
                "application/json": {"schema": _body(given, "files", "plate")},
            },
        },
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and request again give the same job, which runs once.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        ],
    }


def response_body(*, sends_table: bool) -> dict[str, Any]:
    """Describe what curves are fitted by: a form with a table, or JSON for a result that is there."""
    column = {"type": "string"}
    columns = {"anyOf": [column, {"type": "array", "items": column}]}
    own = {
        "value": {**columns, "description": "Columns to fit; by default the main number of the run."},
        "by": {**columns, "description": "Columns that tell curves apart."},
        "map": {**column, "description": "Plate map below the service's root."},
    }
    settings = ResponseParams.model_json_schema(ref_template="#/components/schemas/{model}")
    params = {"type": "object", "properties": {**own, **settings["properties"]}, "additionalProperties": False}
    if not sends_table:
        return {"requestBody": {"required": False, "content": {"application/json": {"schema": params}}}}
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["table"],
        "properties": {
            "table": {**file, "description": "Treatment, dose and value in columns, or a plate reader's export."},
            "map": {**file, "description": "Plate map."},
            "params": params,
        },
    }
    content = {"multipart/form-data": {"schema": form, "encoding": {"params": {"contentType": "application/json"}}}}
    return {"requestBody": {"required": True, "content": content}}


def _in_form(field: dict[str, Any]) -> dict[str, Any]:
    """Describe a field of a form, in which what is nothing is left out."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return field
    return {**{key: value for key, value in field.items() if key not in ("anyOf", "default")}, **kinds[0]}


def _body(properties: dict[str, Any], *images: str) -> dict[str, Any]:
    """Describe an object with a task and, in one way or another, images."""
    ways = [{"required": [name]} for name in images]
    return {"type": "object", "required": ["task"], "properties": properties, "anyOf": ways}


def describe(app: FastAPI) -> None:
    """Let the application describe itself with the parameters of all tasks."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {})
            known = components.setdefault("schemas", {})
            known["Problem"] = PROBLEM
            for spec in TASKS:
                own = spec.params.model_json_schema(ref_template="#/components/schemas/{model}")
                known.update(own.pop("$defs", {}))
                known[spec.params.__name__] = own
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{}, {"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
