import pytest
import torch

from tests_support import make_model


@pytest.fixture(scope="session")
def model():
    """Narrow network, two planes in, two targets out, random weights."""
    torch.manual_seed(0)
    return make_model(planes=2, targets=("DNA", "actin"), width=0.25)
