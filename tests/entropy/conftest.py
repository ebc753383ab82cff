"""Every test that asks for `device` runs on the CPU, and once more on the GPU where there is one."""

import pytest
import torch


@pytest.fixture(scope="session", params=["cpu"] + ["cuda"] * torch.cuda.is_available())
def device(request):
    return request.param
