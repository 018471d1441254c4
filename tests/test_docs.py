"""What the documentation reads from the code."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from vitascope.io.models.yaml import read_yaml
from vitascope.recipes.recipe import DataSet, LabelledImageSource, Recipe, Split, parse_recipe

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_hooks"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["docs_hooks"]


def test_the_schema_of_a_recipe_names_every_key_of_every_part_and_says_what_it_means(hooks):
    shown = hooks.recipe()
    for part in (Recipe, DataSet, LabelledImageSource, Split):
        for name in part.model_fields:
            assert re.search(rf"^\| `{name}` \| .+ \| .+ \| .*\w.* \|$", shown, re.MULTILINE), (part, name)
    assert "| `crop_px` | whole number (≥ 32, a multiple of 16) | `256` |" in shown
    assert "`cosine`, `steps`" in shown
    empty = re.findall(r"^\| `(\w+)` \|.*\|  \|$", shown, re.MULTILINE)
    assert not empty


def test_marks_are_replaced_and_all_else_is_left(hooks):
    page = hooks.on_page_markdown("a {{ recipe }} b {{ flags }} c {{ nothing }}")
    assert page.startswith("a ### The top level")
    assert page.endswith("c {{ nothing }}")
    assert "{{ flags }}" not in page


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_every_page_is_in_the_navigation(page):
    assert f": {page.relative_to(DOCS).as_posix()}\n" in (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_recipes_and_python_on_a_page_are_such(page):
    text = page.read_text(encoding="utf-8")
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "python" and "…" not in block and not block.startswith(" "):
            compile(block, str(page), "exec")
        if kind == "yaml" and block.startswith("task:"):
            parse_recipe(read_yaml(block), page.name)


def test_what_the_pages_import_is_there():
    for page in DOCS.rglob("*.md"):
        for module, names in re.findall(r"^from (vitascope[\w.]*) import ([\w, ]+)$", page.read_text(), re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), (page.name, module, name)
