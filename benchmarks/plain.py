"""The benchmarks' networks as a PyTorch user would write them: the baseline of `networks.py`."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

__all__ = ["NETWORKS", "forward_step", "training_step"]


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _two_convolutions() -> list[nn.Module]:
    return [
        *(nn.Conv2d(3, 96, 11, 4), _relu(), _pool(), nn.LocalResponseNorm(5)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), _relu(), _pool(), nn.LocalResponseNorm(5)),
        *(nn.Conv2d(256, 384, 3, padding=1), _relu()),
    ]


def _seven_expressions(values: int) -> list[nn.Module]:
    return [_pool(), nn.Flatten(), nn.Linear(values, 512), _relu(), nn.Dropout(0.5), nn.Linear(512, 7)]


def human() -> nn.Module:
    return nn.Sequential(
        *_two_convolutions(), nn.Conv2d(384, 384, 3, padding=1, groups=2), _relu(), *_seven_expressions(13824)
    )


def character() -> nn.Module:
    return nn.Sequential(*_two_convolutions(), *_seven_expressions(13824))


def alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), _relu(), nn.LocalResponseNorm(5), _pool()),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), _relu(), nn.LocalResponseNorm(5), _pool()),
        *(nn.Conv2d(256, 384, 3, padding=1), _relu()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), _relu()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), _relu(), _pool(), nn.Flatten()),
        *(nn.Linear(9216, 4096), _relu(), nn.Dropout(0.5), nn.Linear(4096, 4096), _relu(), nn.Dropout(0.5)),
        nn.Linear(4096, 1000),
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(800, 500), _relu(), nn.Linear(500, 10)),
    )


NETWORKS = {"human": human, "character": character, "alexnet": alexnet, "lenet": lenet}


def training_step(name: str, images: np.ndarray, precision: str, device: torch.device) -> Callable[[], float]:
    """Return a function that trains one batch, which lies in memory already, and returns the loss."""
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last)
    batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
    labels = torch.randint(0, 7, (len(batch),), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = network(batch)
        loss = nn.functional.cross_entropy(scores.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def forward_step(name: str, images: np.ndarray, precision: str, device: torch.device) -> Callable[[], np.ndarray]:
    """Return a function that computes the probabilities of one batch, from a NumPy array to a NumPy array."""
    network = NETWORKS[name]().to(device, memory_format=torch.channels_last).eval()

    def step() -> np.ndarray:
        batch = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = network(batch)
        return scores.float().softmax(1).cpu().numpy()

    return step
