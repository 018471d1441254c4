import numpy as np
import pytest

from vitascope.core.result import ImageOutput, Result
from vitascope.core.well import WellPosition


def test_outputs_are_found_by_kind():
    output = ImageOutput("prediction", "predicted", np.zeros((2, 2), np.float32), "YX", ("DNA",))
    result = Result((output,), (), "", WellPosition(), "image")
    assert result.output("prediction") is output
    with pytest.raises(KeyError, match=r"no 'labels' here, only \['prediction'\]"):
        result.output("labels")
