"""Images run one after another without a folder."""

import numpy as np
import pytest

from gui_support import make_spec
from vitascope.batch.item import Item
from vitascope.batch.run_layers import run_layers, sheet_rows, together
from vitascope.core.errors import ParameterError, ReaderError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.core.well import WellPosition


def item(name, side=8, error=None):
    def read():
        if error is not None:
            raise error
        return Micrograph.from_array(np.ones((side, side), np.float32), name=name, pixel_size_um=1.0)

    return Item(name, WellPosition("P", "B02"), {"image": read})


def test_one_that_fails_keeps_its_place_and_the_rest_go_on():
    spec = make_spec()
    items = [item("a"), item("b", side=2), item("c", error=ReaderError("Gone.")), item("d")]
    shown = []
    results = run_to_end(run_layers(spec, items, spec.make_params()), shown.append)
    assert [r.status for r in results] == ["OK", "REJECTED", "FAILED", "OK"]
    assert [(p.done, p.total) for p in shown] == sorted((p.done, p.total) for p in shown)
    assert (shown[0].done, shown[-1].done, shown[-1].total) == (0, 4, 4)
    rows = sheet_rows(results, "abcd")
    assert [(r["of"], r["image"], r["status"], r.get("objects")) for r in rows] == [
        (0, "a", "OK", 2), (1, "b", "REJECTED", None), (2, "c", "FAILED", None), (3, "d", "OK", 2),
    ]  # fmt: skip
    assert rows[2]["well"] == "B02"
    whole = together(results, "4 images")
    assert len(whole.rows) == 4
    assert set(whole.flags) == {"unfit_input", "unreadable"}
    assert whole.unit == "nuclei"


def test_a_parameter_that_cannot_be_used_ends_it_at_the_first_image():
    def run(inputs, params):
        yield from ()
        raise ParameterError("No such model.")

    spec = make_spec(run)
    with pytest.raises(ParameterError):
        run_to_end(run_layers(spec, [item("a"), item("b")], spec.make_params()))


def test_closing_closes_the_run_that_is_going():
    closed = []

    def run(inputs, params):
        try:
            while True:
                yield None
        finally:
            closed.append(True)

    spec = make_spec(run)
    steps = run_layers(spec, [item("a")], spec.make_params())
    for _ in range(3):  # the image, its reading, and a step of the run
        next(steps)
    steps.close()
    assert closed == [True]
