import sys
from types import ModuleType

import pytest

from vitascope.core.errors import MissingPackageError, ParameterError
from vitascope.core.late_import import import_late
from vitascope.core.params import RunParams, field_extra
from vitascope.tasks.registry import TASKS, find_task

every_task = pytest.mark.parametrize("spec", TASKS, ids=lambda s: s.name)


def test_tasks_are_found_by_name_and_no_two_share_one():
    assert [find_task(spec.name) for spec in TASKS] == list(TASKS)
    assert len({spec.name for spec in TASKS}) == len(TASKS)


@pytest.mark.parametrize("name", ["", "Stain", "nothing"])
@pytest.mark.fault("I11")
def test_a_task_nobody_knows_is_refused_with_those_there_are(name):
    with pytest.raises(ParameterError, match=f"no task '{name}'") as caught:
        find_task(name)
    assert "stain" in caught.value.hint


@every_task
def test_defaults_are_valid_and_survive_json(spec):
    params = spec.make_params()
    assert isinstance(params, RunParams)
    assert type(params).model_validate_json(params.model_dump_json()) == params
    assert spec.make_params(**params.model_dump(mode="json")) == params


@every_task
def test_parameters_in_pixels_say_so(spec):
    units = {name: field_extra(field, "unit") for name, field in spec.params.model_fields.items()}
    assert {name for name, unit in units.items() if unit == "px"} == {n for n in units if n.endswith("_px")}


@every_task
def test_its_modules_are_there_and_have_what_is_wanted(spec):
    assert callable(spec.load())
    training = spec.load_training()
    assert callable(training.run_training)
    assert callable(training.run_evaluation)


@every_task
def test_the_image_comes_first_and_has_to_be_given(spec):
    assert spec.roles[0].name == "image"
    assert not spec.roles[0].optional
    assert all(role.optional for role in spec.roles[1:])


@every_task
def test_unknown_and_impossible_parameters_are_refused_by_name(spec):
    with pytest.raises(ParameterError, match="colour: extra inputs are not permitted"):
        spec.make_params(colour="red")
    with pytest.raises(ParameterError, match="tile_px"):
        spec.make_params(tile_px=17)


@every_task
@pytest.mark.fault("J02")
def test_a_package_that_is_missing_is_said_with_what_to_do(spec, monkeypatch):
    monkeypatch.delitem(sys.modules, spec.training, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [m for m in sys.modules if m.startswith("vitascope.engine")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingPackageError, match="package 'torch' is not installed") as caught:
        import_late(spec.training, ModuleType)
    assert "pip install" in caught.value.hint
