"""All that docks can say is said in their own language: no options of a command line, no menus of other programs.

Errors are collected from the source, wherever they are raised below the docks; what a user is told is what
:attr:`VitascopeError.dock_hint` makes of each. Texts of the docks themselves are collected as they stand.
"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from vitascope.core import errors
from vitascope.core.errors import InputError, VitascopeError, without_options
from vitascope.core.paths import SAMPLES

SOURCE = SAMPLES.parent
COMMANDS = ("cli/", "serve/")
"""Rooms that docks never reach."""
WRITERS = ("gui/run/export.py", "gui/plate/plate_command.py", "gui/docks/denoise_dock.py", "gui/demo.py")
"""They write commands for the clipboard, or are started by one."""
OPTION = re.compile(r"--[a-z]|command line|vitascope (run|plate|train|models|evaluate) ")
MENUS = ("File ▸ Open Sample", "File ▸ Save Selected Layers", "Help ▸ Show logs", "Layers ▸ Split RGB")
"""Of napari."""
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, VitascopeError)}


@cache
def trees():
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}


def text_of(node, constants):
    """What an expression says; X for what is only known in a run."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, constants) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left, constants) + text_of(node.right, constants)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body, constants)} {text_of(node.orelse, constants)}"
    return constants.get(node.id, "X") if isinstance(node, ast.Name) else "X"


def raised():
    """File and line of each error that is made below the docks, with its hint and its hint for docks."""
    for file, tree in trees().items():
        if file.startswith(COMMANDS):
            continue
        constants = {
            node.targets[0].id: text_of(node.value, {})
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
                own = {k.arg: text_of(k.value, constants) for k in node.keywords}
                hint = text_of(node.args[1], constants) if len(node.args) > 1 else own.get("hint", "")
                yield f"{file}:{node.lineno}", text_of(node.args[0], constants), hint, own.get("dock", "")


def test_errors_are_found():
    assert len(list(raised())) > 200


def test_no_hint_for_docks_names_an_option_or_a_menu_of_another_program():
    found = {}
    for where, message, hint, dock in raised():
        told = VitascopeError(message, hint, dock=dock).in_dock
        foreign = [menu for menu in re.findall(r"\w+ ▸ [\w ]+", told) if not menu.startswith(MENUS)]
        if OPTION.search(VitascopeError(message, hint, dock=dock).dock_hint) or foreign:
            found[where] = told
    assert found == {}


def test_no_text_of_a_dock_names_an_option_or_a_menu_of_another_program():
    found = []
    for file, tree in trees().items():
        if not file.startswith("gui/") or file in WRITERS:
            continue
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            foreign = [menu for menu in re.findall(r"\w+ ▸ [\w ]+", text) if not menu.startswith(MENUS)]
            if re.search(r"(^|\s)--[a-z]", text) or foreign:
                found.append(f"{file}:{node.lineno} {text}")
    assert found == []


def test_docks_show_errors_by_their_own_hint():
    """Python's ``str(error)`` is for the command line."""
    found = []
    for file, tree in trees().items():
        for node in ast.walk(tree) if file.startswith("gui/") else ():
            plain = isinstance(node, ast.Attribute) and node.attr == "hint" and ast.unparse(node.value) == "error"
            as_text = isinstance(node, ast.Call) and ast.unparse(node) == "str(error)"
            if (plain or as_text) and file != "gui/common/runner.py":
                found.append(f"{file}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Name it: channel = 0 (on the command line --set channel=0).", "Name it: channel = 0."),
        ("Leave --planes out, or add the missing files.", "Add the missing files."),
        ("Give the right one with --pixel-size-um.", ""),
        ("Check the network (or the drive). Then start it again with --redo.", "Check the network (or the drive)."),
        ("Close other programs, or crop the image.", "Close other programs, or crop the image."),
        ("Run its images without wells: vitascope run TASK 'a' -o OUT.", ""),
        ("Update vitascope to use it.", "Update vitascope to use it."),
    ],
)
def test_what_only_a_command_can_do_is_left_out(text, kept):
    assert without_options(text) == kept


def test_both_hints_survive_another_process():
    import pickle

    error = pickle.loads(pickle.dumps(InputError("No.", "Say --set a=1.", dock="Choose a.")))  # noqa: S301
    assert (error.hint, error.dock_hint, error.in_dock) == ("Say --set a=1.", "Choose a.", "No. Choose a.")
    assert str(error) == "No. Say --set a=1."
