"""The published EBT of images, held against values that the public implementation gave."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from published_images import (
    STEP_1,
    STEP_3,
    SYSTEM_2,
    Reference,
    ebt,
    embedded,
    reference,
    require_close,
    require_gradients,
    train,
)
from torch import Tensor

from denoise.config import PublishedEBTDenoiserConfig
from denoise.diffusion import diffuse
from denoise.published import Draws
from worldmodel.noise import Stream
from worldmodel.predictor import Clips, Thinking

__all__ = ["reference"]  # a fixture


def test_noising_is_published(reference: Reference) -> None:
    case = reference("image_ebt_randomised")
    images, noise = embedded(case["inputs/images"]), embedded(case["inputs/noise"])
    noisy = diffuse(images, torch.full((3,), 99), noise)
    require_close(noisy, embedded(case["inputs/noised"]))


def test_energies_and_candidates_are_published(reference: Reference) -> None:
    case = reference("image_ebt_randomised")
    model = ebt(STEP_3, case)
    noisy = Clips(embedded(case["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(3), energies=True)
    assert found.energies is not None
    for step in range(3):
        require_close(found.energies[step, :, 0], case[f"outputs/energies_{step}"])
        require_close(found.candidates[step + 1], embedded(case[f"outputs/candidates_{step}"]))
    # Energies of candidates from anywhere are the same ones.
    several = found.candidates[:3].permute(1, 2, 0, 3, 4)  # [B, 1, N, P, D]
    verified = model.verify(noisy, several).sum(-1)[:, 0]
    expected = torch.stack([case[f"outputs/energies_{step}"] for step in range(3)], dim=1)
    require_close(verified, expected)


@pytest.mark.parametrize(("config", "steps"), [(STEP_1, 1), (STEP_3, 3)])
def test_a_training_step_of_the_energy_is_published(
    config: PublishedEBTDenoiserConfig, steps: int, reference: Reference
) -> None:
    case = reference("image_ebt_randomised")
    model, clean = ebt(config, case), embedded(case["inputs/images"])
    require_close(train(model, case), case[f"outputs/{steps}/loss"])
    names = require_gradients(model, case, f"grads/{steps}/")
    parameters = {name for name, _ in model.named_parameters()}
    assert len(names) == 8 if steps == 3 else names == parameters
    thoughts = list(model.training_thoughts(embedded(case["inputs/noised"]), ["a", "b", "c"], 0))
    first, last = (F.smooth_l1_loss(thoughts[at].candidates, clean) for at in (0, -1))
    require_close(first, case[f"outputs/{steps}/initial_loss"])
    require_close(last, case[f"outputs/{steps}/final_step_loss"])
    require_close(F.l1_loss(thoughts[-1].candidates, clean), case[f"outputs/{steps}/l1_loss"])


@pytest.mark.parametrize(("config", "steps"), [(STEP_1, 1), (STEP_3, 3)])
def test_a_new_energy_learns_its_last_layer_first(
    config: PublishedEBTDenoiserConfig, steps: int, reference: Reference
) -> None:
    weights, case = reference("image_ebt_randomised"), reference("image_ebt_as_initialised")
    model = ebt(config, weights | reference.zeros("image_ebt_as_initialised"))
    with torch.no_grad():
        model.step_size.fill_(3000.0)
    require_close(train(model, weights), case[f"outputs/{steps}/loss"])
    names = require_gradients(model, case, f"grads/{steps}/")
    assert names == {"energy.readout.linear.weight"}
    for name, parameter in model.named_parameters():
        assert name in names or parameter.grad is None or not parameter.grad.any()
    noisy = Clips(embedded(weights["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(steps), energies=True)
    assert found.patch_energies is not None
    assert not found.patch_energies.any()
    assert torch.equal(found.prediction, noisy.embeddings)
    loss = F.smooth_l1_loss(found.prediction, embedded(weights["inputs/images"]))
    for name in ("initial_loss", "final_step_loss"):
        require_close(loss, case[f"outputs/{steps}/{name}"])


class Recorded(Draws):
    """Recorded draws in the place of random ones."""

    def __init__(self, case: dict[str, Tensor]):
        self.case = case

    def steps(self, least: int, most: int, seed: int) -> int:
        return int(self.case["inputs/number_of_steps"])

    def step_size_share(self, like: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        return self.case["inputs/step_size_uniform"]

    def langevin(self, like: Tensor, keys: Sequence[str], stream: Stream, *seeds: int) -> Tensor:
        drawn = embedded(self.case[f"inputs/langevin_{seeds[-1] - 1}"])
        assert drawn.shape == like.shape
        return drawn


def test_system_2_training_is_published(reference: Reference) -> None:
    inputs, case = reference("image_ebt_randomised"), reference("image_ebt_s2")
    model = ebt(SYSTEM_2, inputs)
    model.draws = Recorded(case)
    thoughts = list(model.training_thoughts(embedded(inputs["inputs/noised"]), ["a", "b", "c"], 0))
    assert [thought.judged for thought in thoughts] == [False, True]
    for number, thought in enumerate(thoughts):
        require_close(thought.candidates, embedded(case[f"outputs/candidates_{number}"]))
        require_close(thought.energies.sum((1, 2)), case[f"outputs/energies_{number}"])
    require_close(train(model, inputs), case["outputs/loss"])
    assert len(require_gradients(model, case, "grads/")) == 7
    assert model.step_size.grad is None
    # Predictions take the most steps and the same noise; only training has a random step size.
    assert model.trained_setting() == Thinking(3)
    noisy = Clips(embedded(inputs["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(1), energies=True)
    assert found.energies is not None
    require_close(found.energies[0, :, 0], case["outputs/energies_0"])
    noise = 0.3 * embedded(case["inputs/langevin_0"])
    factor = 0.5 + 1.5 * case["inputs/step_size_uniform"]
    first = embedded(case["outputs/candidates_0"])
    moved = (first - noisy.embeddings - noise) / factor
    require_close(found.prediction, noisy.embeddings + noise + moved)
