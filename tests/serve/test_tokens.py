"""Tokens: read from a file, kept as hashes, found in constant time."""

import stat

import pytest

from vitascope.core.errors import ParameterError, ReaderError
from vitascope.serve.tokens import find_token, hash_token, new_token, read_tokens

LONG = "correct-horse-battery"


def test_lines_name_a_user_a_scope_and_a_token_or_its_hash(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# ours\n{LONG}1\nread {LONG}2\nann {LONG}3\nbob read sha256:{hash_token(LONG)}\n\n")
    found = read_tokens(path)
    assert [one.scope for one in found] == ["run", "read", "run", "read"]
    assert [one.name for one in found][2:] == ["ann", "bob"]
    assert find_token(found, LONG) == found[3]
    assert find_token(found, f"{LONG}1") == found[0]
    assert find_token(found, f"sha256:{hash_token(LONG)}") is None
    assert find_token(found, "") is None
    assert LONG not in repr(found)


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", "a b c d-long-enough-to-be-one\n", "read x\n"])
def test_what_is_no_token_is_refused_without_repeating_it(tmp_path, text):
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ParameterError, match="token") as caught:
        read_tokens(tmp_path / "tokens")
    assert "d-long-enough" not in str(caught.value)
    with pytest.raises(ReaderError):
        read_tokens(tmp_path)


def test_a_new_token_is_told_once_and_stored_as_a_hash(tmp_path):
    path = tmp_path / "tokens"
    one, two = new_token(path, "ann", "run"), new_token(path, "bob", "read")
    assert one not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [find_token(read_tokens(path), token).name for token in (one, two)] == ["ann", "bob"]
    for name in ("", "a b", "read", "x" * 65):
        with pytest.raises(ParameterError, match="no name"):
            new_token(path, name, "run")
