"""Which files a job may read."""

import pytest

from vitascope.core.errors import ParameterError, ReaderError
from vitascope.serve.files import below_root, check_inside


@pytest.fixture
def places(tmp_path):
    root, data = tmp_path / "root", tmp_path / "root" / "data"
    (root / "plate").mkdir(parents=True)
    data.mkdir()
    (tmp_path / "secret.tif").write_bytes(b"x")
    (root / "link.tif").symlink_to(tmp_path / "secret.tif")
    return root, data


@pytest.mark.parametrize("name", ["", " ", "../secret.tif", "/etc/passwd", "plate/../../secret.tif", "a\0b", "link.tif",
                                  "data", "data/x", "nothing", "x" * 5000])  # fmt: skip
def test_what_lies_elsewhere_is_as_if_it_were_not_there(places, name):
    with pytest.raises(ParameterError, match="There is no"):
        below_root(*places, name)


def test_a_folder_that_holds_the_services_own_data_is_refused_and_others_are_found(places):
    root, data = places
    with pytest.raises(ParameterError, match="own data"):
        below_root(root, data, ".")
    assert below_root(root, data, "plate") == (root / "plate").resolve()


def test_a_link_in_a_folder_leads_nowhere(places):
    root, _ = places
    check_inside([root / "plate"], [root])
    with pytest.raises(ReaderError, match="leads out"):
        check_inside([root / "link.tif"], [root])
