"""A network recorded as a CUDA graph does what it does step by step."""

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from torch import nn

from models.backbone.cuda_graph import recorded


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()).eval()


def test_on_a_cpu_it_is_the_network_itself() -> None:
    one = network()
    assert recorded(one, torch.zeros(2, 3, 8, 8)) is one


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_recording_follows_its_input() -> None:
    one = network().cuda()
    replay = recorded(one, torch.zeros(2, 3, 8, 8, device="cuda"))
    for seed in range(3):
        torch.manual_seed(seed)
        batch = torch.randn(2, 3, 8, 8, device="cuda")
        with torch.inference_mode():
            torch.testing.assert_close(replay(batch), one(batch))
