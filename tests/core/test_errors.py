import pickle

import pytest

from vitascope.core import errors
from vitascope.core.errors import InputError, ReaderError, VitascopeError
from vitascope.core.flags import FLAGS, FlagClass, join_flags, without_notes
from vitascope.core.status import Status

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, VitascopeError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_documented_flag_and_survives_another_process(kind):
    error = kind("The file is empty.", "Copy it again.")
    assert error.flag in FLAGS
    assert str(error) == "The file is empty. Copy it again."
    again = pickle.loads(pickle.dumps(error))  # noqa: S301, workers of other processes hand errors over so
    assert type(again) is kind
    assert (again.message, again.hint, again.flag) == (error.message, error.hint, error.flag)


def test_a_flag_of_its_own_is_kept():
    error = pickle.loads(pickle.dumps(InputError("No.", flag="colour_image")))  # noqa: S301
    assert error.flag == "colour_image"
    assert str(error) == "No."


def test_a_missing_part_is_a_kind_of_unreadable_file():
    assert issubclass(errors.IncompleteError, ReaderError)


def test_flags_are_joined_once_each_in_the_order_of_the_documented_list():
    words = list(FLAGS)
    assert join_flags((words[5], words[2], words[5])) == f"{words[2]};{words[5]}"
    assert join_flags(()) == ""


def test_a_word_nobody_explained_is_refused():
    with pytest.raises(KeyError):
        join_flags(("mystery",))


def test_every_flag_is_one_word_with_a_sentence():
    for word, (meaning, kind) in FLAGS.items():
        assert isinstance(kind, FlagClass)
        assert word.replace("_", "").isalpha()
        assert word == word.lower()
        assert meaning.endswith(".")


def test_only_notes_leave_the_status_ok():
    notes = {word for word, flag in FLAGS.items() if flag.kind is FlagClass.NOTE}
    wanted = {"pixel_size_unknown", "z_step_unknown", "unit_unknown", "precision_raised", "tile_reduced", "spare_bytes"}
    assert wanted <= notes
    assert Status.of_flags(notes) == Status.OK
    for word in set(FLAGS) - notes:
        assert Status.of_flags((*notes, word)) == Status.WARN
    assert without_notes(("saturated", *notes, "saturated", "")) == ("saturated",)
