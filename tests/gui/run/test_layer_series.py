import numpy as np

from vitascope.core.result import Provenance, Result
from vitascope.core.well import WellPosition
from vitascope.gui.run.layer_series import position, with_params
from vitascope.tasks.atp import SPEC


def test_a_row_stands_at_its_time_and_plane_and_at_the_first_where_it_has_none():
    assert position({"time": np.int64(3)}, "T") == 3
    assert position({"z": 2}, "Z") == 2
    assert position({"time": float("nan")}, "T") == 0
    assert position({}, "C") == 0


def test_the_provenance_says_whether_maps_were_asked_for():
    given = {"maps": False, "refine": 1}
    known = Provenance(
        task="atp",
        model="mine",
        model_sha256="0" * 64,
        params=given,
        device="cpu",
        precision="f32",
        inputs=[],
        versions={},
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
    )
    result = Result((), (), "", WellPosition(), "well", "OK", (), "", provenance=known)
    told = with_params(result, SPEC.make_params(maps=True))
    assert told.provenance.params == {"maps": True, "refine": 1}
    assert known.params["maps"] is False
    assert with_params(Result((), (), "", WellPosition(), "well", "OK", (), ""), SPEC.make_params()).provenance is None
