"""Devices without torch."""

import os
import subprocess
import sys

import psutil
import pytest

from vitascope.core import hardware
from vitascope.core.hardware import GraphicsCard, offered_devices, torch_has_cuda, unused_card

CARDS = (GraphicsCard("NVIDIA A", 24 << 30), GraphicsCard("NVIDIA B", 80 << 30))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("__version__ = '2.10.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", False),
        ("__version__ = '2.10.0'\ncuda: Optional[str] = '12.8'\n", True),
        ("cuda = '13.0'\ncudaish = None\n", True),
        ("__version__ = '1'\n", False),
    ],
)
def test_the_build_of_torch_is_read_from_its_file(tmp_path, text, known):
    (tmp_path / "version.py").write_text(text)
    assert torch_has_cuda(tmp_path) is known


def test_it_agrees_with_torch_itself():
    import torch

    assert torch_has_cuda() is (torch.version.cuda is not None)


def test_the_processor_is_offered_with_its_memory_and_cards_where_torch_can_use_them(monkeypatch):
    monkeypatch.setattr(hardware, "nvidia_cards", lambda: CARDS)
    monkeypatch.setattr(hardware, "torch_has_cuda", lambda: True)
    found = dict(offered_devices())
    assert found["cuda:1"] == "NVIDIA B (80 GiB)"
    assert f"({psutil.virtual_memory().total / 2**30:.0f} GiB)" in found["cpu"]
    assert unused_card() == ""
    monkeypatch.setattr(hardware, "torch_has_cuda", lambda: False)
    assert "cuda:0" not in dict(offered_devices())
    assert unused_card().startswith("NVIDIA card found (NVIDIA A), but this torch cannot use it")
    monkeypatch.setattr(hardware, "nvidia_cards", tuple)
    assert unused_card() == ""


def test_nothing_is_loaded_for_it():
    code = "import sys; from vitascope.core.hardware import *; offered_devices(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "False"
