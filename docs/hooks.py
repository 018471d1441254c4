"""Tables that the documentation reads from the code.

``{{ parameters stain }}``, ``{{ flags }}``, ``{{ models }}`` and ``{{ recipe }}``.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vitascope.core.flags import FLAGS
from vitascope.core.params import field_extra
from vitascope.io.models.cards import BUNDLED_MODELS, read_card
from vitascope.recipes.recipe import Recipe
from vitascope.tasks.registry import find_task


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by tables."""
    markdown = re.sub(r"\{\{ parameters (\w+) \}\}", lambda m: parameters(m[1]), markdown)
    for mark, table in (("flags", flags), ("models", models), ("recipe", recipe)):
        markdown = markdown.replace(f"{{{{ {mark} }}}}", table()) if f"{{{{ {mark} }}}}" in markdown else markdown
    return markdown


def parameters(task: str) -> str:
    """One row per parameter of a task."""
    rows = ["| parameter | default | unit | meaning |", "|---|---|---|---|"]
    for name, field in find_task(task).params.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {field_extra(field, 'unit') or ''} | {field.description} |")
    return "\n".join(rows)


def flags() -> str:
    """One row per flag."""
    return "\n".join(
        ["| flag | class | meaning |", "|---|---|---|", *(f"| `{k}` | {v.kind} | {v.text} |" for k, v in FLAGS.items())]
    )


def models() -> str:
    """One section per bundled model, from its card."""
    parts = []
    for path in sorted(BUNDLED_MODELS.glob("*.json")):
        card = read_card(path)
        figures = [
            f"| {m.name} | {m.value:g} | {f'{m.low:g} to {m.high:g}' if m.low is not None else ''} | {m.on}"
            f"{' (its twin, trained without the test part)' if m.from_holdout_model else ''} |"
            for m in card.metrics
        ]
        named = [f"[{d.name}]({d.url})" if d.url.startswith("http") else d.name for d in card.data]
        credit = "; ".join(f"{name}, {d.licence}. {d.credit}" for name, d in zip(named, card.data, strict=True))
        parts += [
            f"## `{card.id}`",
            f"{card.title}. {card.summary}",
            "",
            f"- Takes: {card.input.modality}, {card.input.planes} plane(s)",
            f"- Gives: {', '.join(t.name for t in card.targets)}",
            f"- Split: {card.split}",
            f"- **When not to trust it:** {card.limitations}",
            f"- Data: {credit}",
            f"- Licence: {card.licence}; {card.weights.parameters:,} weights; SHA-256 `{card.weights.sha256[:16]}…`",
            "",
            *(["| figure | value | 95 % interval | on |", "|---|---|---|---|", *figures, ""] if figures else []),
        ]
    return "\n".join(parts)


PLAIN = {str: "text", float: "number", int: "whole number", bool: "true or false", Any: "anything"}


def recipe() -> str:
    """One section per part of a recipe, in the order in which a reader meets them: its keys, and what they mean."""
    parts: dict[type[BaseModel], str] = {Recipe: "The top level"}
    sections: dict[type[BaseModel], str] = {}
    while missing := [part for part in parts if part not in sections]:  # parts are found inside parts
        sections[missing[0]] = section(missing[0], parts)
    return "\n\n".join(sections.values())


def section(part: type[BaseModel], parts: dict[type[BaseModel], str]) -> str:
    """Describe one part, and note the parts inside it."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in part.model_fields.items():
        for inner in inner_models(field.annotation):
            parts.setdefault(inner, f"`{name}`")
        value = f"{kind_text(field.annotation)}{bounds_text(field)}".replace("|", "\\|")
        rows.append(f"| `{name}` | {value} | {default_text(field)} | {field.description or ''} |")
    return "\n".join([f"### {parts[part]}", "", about(part), "", *rows])


def about(part: type[BaseModel]) -> str:
    """Return the docstring of a part as Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", part.__doc__ or "")
    text = text.split("Parameters\n")[0]
    return "\n".join(line.strip() for line in text.strip().splitlines())


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside an annotation."""
    if isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in inner_models(inner)]


def kind_text(annotation: Any) -> str:
    """Say in words what a value is."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return kind_text(next(one for one in inner if one is not type(None)))
    if origin is tuple:
        if inner[-1] is ... and inner_models(inner[0]):
            return "list, see below"
        if inner[-1] is ...:
            return f"list of {kind_text(inner[0])}"
        return f"{len(inner)} values: {', '.join(map(kind_text, inner))}"
    if origin is dict:
        return f"{kind_text(inner[0])} to {kind_text(inner[1])}"
    if origin is typing.Annotated:
        return kind_text(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    return PLAIN.get(annotation, "text")


def bounds_text(field: FieldInfo) -> str:
    """Say which values are allowed."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of"}
    told = [f"{signs[n]} {getattr(rule, n):g}" for rule in field.metadata for n in signs if hasattr(rule, n)]
    return f" ({', '.join(told)})" if told else ""


def default_text(field: FieldInfo) -> str:
    """Return the default as YAML writes it; a key without one must be given."""
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"
