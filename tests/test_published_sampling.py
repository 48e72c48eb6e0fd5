"""The published sampling of DiT, held against values that the public implementation gave.

The network is a plain one, written here from the description of the published architecture.
"""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.dit import ddim
from denoise.diffusion import cumulative_alphas, signal_and_noise

DATA = os.environ.get("WORLDMODEL_TEST_DATA")
needs_reference = pytest.mark.skipif(
    DATA is None, reason="WORLDMODEL_TEST_DATA is not set: no values of the public implementation"
)
HEADS, PATCH, SIDE, WIDTH = 2, 8, 4, 32
TOLERANCE = 1e-5  # of the largest entry


def reference(name: str) -> dict[str, Tensor]:
    assert DATA is not None
    return safetensors.torch.load_file(Path(DATA) / "reference" / f"{name}.safetensors")


class PlainDiT:
    """The published DiT: images `[B, 3, 32, 32]` and a step to the predicted noise."""

    def __init__(self, weights: dict[str, Tensor]):
        prefix = "weights/diffusion_transformer."
        self.weights = {
            k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
        }

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def attention(self, block: str, x: Tensor) -> Tensor:
        q, k, v = self.linear(f"{block}.attn.qkv", x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        return self.linear(f"{block}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))

    def __call__(self, image: Tensor, step: Tensor | int) -> Tensor:
        proj = "x_embedder.proj"
        u = F.conv2d(image, self.weights[f"{proj}.weight"], self.weights[f"{proj}.bias"], PATCH)
        u = u.flatten(2).transpose(1, 2) + self.weights["pos_embed"]
        angles = int(step) * 10000 ** (-torch.arange(128) / 128)
        time = torch.cat([angles.cos(), angles.sin()])[None]
        condition = F.silu(
            self.linear("t_embedder.mlp.2", F.silu(self.linear("t_embedder.mlp.0", time)))
        )
        for number in range(2):
            block = f"blocks.{number}"
            parts = self.linear(f"{block}.adaLN_modulation.1", condition)[:, None].chunk(6, -1)
            shift1, scale1, gate1, shift2, scale2, gate2 = parts
            u = u + gate1 * self.attention(block, norm(u) * (1 + scale1) + shift1)
            inner = self.linear(f"{block}.mlp.fc1", norm(u) * (1 + scale2) + shift2)
            u = u + gate2 * self.linear(f"{block}.mlp.fc2", F.gelu(inner, approximate="tanh"))
        last = "final_layer.adaLN_modulation.1"
        shift, scale = self.linear(last, condition)[:, None].chunk(2, -1)
        out = self.linear("final_layer.linear", norm(u) * (1 + scale) + shift)
        out = out.view(-1, SIDE, SIDE, PATCH, PATCH, 6).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(-1, 6, SIDE * PATCH, SIDE * PATCH)[:, :3]


def norm(u: Tensor) -> Tensor:
    return F.layer_norm(u, (WIDTH,), eps=1e-6)


def clip(clean: Tensor) -> Tensor:
    return clean.clamp(-1, 1)


def close(found: Tensor, expected: Tensor) -> bool:
    return float((found - expected).abs().max() / expected.abs().max()) < TOLERANCE


@needs_reference
def test_the_plain_network_is_the_published_one() -> None:
    case = reference("dit_randomised")
    network = PlainDiT(case)
    for index, step in enumerate(case["inputs/timesteps"]):
        found = network(case["inputs/noised"][index : index + 1], step)
        assert close(found, case["outputs/predicted_noise"][index : index + 1])


@needs_reference
@pytest.mark.parametrize(("level", "start"), [("0.1", 99), ("0.2", 199)])
def test_sampling_gives_the_published_images(level: str, start: int) -> None:
    case, network = reference("dit_sampling"), PlainDiT(reference("dit_randomised"))
    signal, noise = signal_and_noise(start)
    noisy = signal * case["inputs/images"] + noise * case["inputs/noise"]
    assert close(noisy, case[f"inputs/noised_{level}"])
    for run in range(3):
        noisy = ddim(network, noisy, start, start + 1, clip)
        assert close(noisy, case[f"outputs/{level}/after_run_{run}"])
    # Without the clipping, or from the step of another level, it is another image.
    first = case[f"inputs/noised_{level}"]
    assert not close(ddim(network, first, start, start + 1), case[f"outputs/{level}/after_run_0"])
    other = 298 - start
    once = ddim(network, first, other, other + 1, clip)
    assert not close(once, case[f"outputs/{level}/after_run_0"])


@needs_reference
def test_the_schedule_is_the_published_one() -> None:
    expected = reference("dit_sampling")["schedule_1000/alpha_bar"]
    assert torch.allclose(cumulative_alphas()[:200].double(), expected, rtol=1e-6)
