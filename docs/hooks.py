"""Tables that the documentation reads from the code: ``{{ parameters stain }}``, ``{{ flags }}``, ``{{ models }}``."""

from __future__ import annotations

import re
from typing import Any

from vitascope.core.flags import FLAGS
from vitascope.core.params import field_extra
from vitascope.io.models.cards import BUNDLED_MODELS, read_card
from vitascope.tasks.registry import find_task


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of a page by tables."""
    markdown = re.sub(r"\{\{ parameters (\w+) \}\}", lambda m: parameters(m[1]), markdown)
    return markdown.replace("{{ flags }}", flags()).replace("{{ models }}", models())


def parameters(task: str) -> str:
    """One row per parameter of a task."""
    rows = ["| parameter | default | unit | meaning |", "|---|---|---|---|"]
    for name, field in find_task(task).params.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {field_extra(field, 'unit') or ''} | {field.description} |")
    return "\n".join(rows)


def flags() -> str:
    """One row per flag."""
    return "\n".join(["| flag | meaning |", "|---|---|", *(f"| `{k}` | {v} |" for k, v in FLAGS.items())])


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
