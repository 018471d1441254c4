import time

import pytest

from vitascope.core.errors import ReaderError
from vitascope.io.models.yaml import MAX_VALUES, read_yaml


def test_plain_values_are_read():
    assert read_yaml("a: 1\nb: [x, 2.5, true]\nc: {d: }") == {"a": 1, "b": ["x", 2.5, True], "c": {"d": None}}


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [exit]",
        "!!python/name:os.system",
        "!unknown x",
        "a: [1",
        "a: b: c",
        "\0",
        "2024-13-45",
        "!!int ''",
        "!!bool perhaps",
        "!!timestamp soon",
        "*nothing",
        "? [a]\n: b",
    ],
)
@pytest.mark.fault("D24")
def test_what_is_no_plain_yaml_is_refused_in_one_line(text):
    with pytest.raises(ReaderError, match="no YAML of plain values") as caught:
        read_yaml(text)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 40 + "1" + "}" * 40, "a: &a [*a]"])
@pytest.mark.fault("D24")
def test_endless_depth_is_refused(text):
    with pytest.raises(ReaderError, match="nested too deeply"):
        read_yaml(text)


@pytest.mark.fault("D24")
def test_a_few_lines_that_unfold_to_billions_are_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    start = time.perf_counter()
    with pytest.raises(ReaderError, match="unfolds"):
        read_yaml("\n".join(lines))
    assert time.perf_counter() - start < 5


def test_as_many_values_as_allowed_are_read():
    assert len(read_yaml("[" + "1," * (MAX_VALUES // 10) + "]")) == MAX_VALUES // 10
