"""The models in checkpoints/: their cards, their size, and that they do what the cards say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import parse_eval_result_entries
from torchvision.transforms.functional import resize

from baselines.direct import DirectDenoiser
from baselines.dit import DiTDenoiser
from baselines.flow import NextFrameFlow
from baselines.transformer_pp import TransformerPP
from benchmarks.cli.command_line import main
from benchmarks.record.machine_places import without_places
from benchmarks.record.results import read_result
from data_prep.config import BouncingBallsConfig, DeadLeavesConfig
from data_prep.errors import InputError
from data_prep.synthetic.bouncing_balls import render_bouncing_balls
from data_prep.synthetic.dead_leaves import render_dead_leaves
from denoise import load as load_denoiser
from denoise.model import EBTDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel import load
from worldmodel.data import Scaler
from worldmodel.loading import shared_config, shared_encoder
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor
from worldmodel.published.model import PublishedEBT

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
VIDEO: dict[str, type[Predictor]] = {
    "ebt_published": PublishedEBT,
    "ebt_residual": NextFrameEBT,
    "flow": NextFrameFlow,
    "transformer_pp": TransformerPP,
}
IMAGE: dict[str, type[Predictor]] = {
    "ebt_published": PublishedEBTDenoiser,
    "ebt_residual": EBTDenoiser,
    "dit": DiTDenoiser,
    "direct": DirectDenoiser,
}
MOST_BYTES = 4 << 20
TEST = "next_frame.test.teacher_forced.psnr"


def psnr(image: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * (image - truth).square().mean().log10())


def promised(folder: Path, task: str) -> float:
    """What a card says that the model reached."""
    entries = yaml.safe_load((folder / ".eval_results" / "ebt-bench.yaml").read_text())
    return next(float(e.value) for e in parse_eval_result_entries(entries) if e.task_id == task)


def test_all_fit_into_a_clone_and_have_cards() -> None:
    files = [path for path in CHECKPOINTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    places = {path.parent.relative_to(CHECKPOINTS) for path in files if path.name == "config.json"}
    expected = [Path("next_frame") / name for name in VIDEO]
    assert places == {*expected, *(Path("denoise") / name for name in IMAGE)}
    for place in places:
        card = (CHECKPOINTS / place / "README.md").read_text(encoding="utf-8")
        assert "## Results" in card
        assert "## Limits" in card
        assert "--data /" not in card


def videos(size: int, count: int) -> torch.Tensor:
    """New clips `[count, 9, 3, size, size]` of the kind that the models saw."""
    config = BouncingBallsConfig(turn_odds=0.8)
    drawn = (render_bouncing_balls(np.random.default_rng(900 + n), config) for n in range(count))
    clips = [torch.from_numpy(v).movedim(-1, 1)[::2][:9].float() / 255 for v in drawn]
    return torch.stack([resize(clip, [size, size], antialias=True) for clip in clips])


@pytest.mark.parametrize("name", VIDEO)
def test_a_video_model_does_what_its_card_says(name: str) -> None:
    folder = CHECKPOINTS / "next_frame" / name
    config = shared_config(folder, None, [VIDEO[name].__name__])
    encoder = shared_encoder(folder, config)
    scaler = Scaler(torch.tensor(config["mean"]), torch.tensor(config["scale"]))
    model = VIDEO[name].from_pretrained(str(folder))
    frames = videos(int(config["size"]), 24)
    encoded = scaler.scale_embeddings(encoder.encode(frames.flatten(0, 1))).unflatten(0, (24, 9))
    context = Clips(encoded[:, :-1], [str(n) for n in range(24)])
    found = model.predict(context, model.trained_setting()).prediction[:, 1:]
    made = encoder.decode(scaler.unscale(found.flatten(0, 1))).unflatten(0, (24, 7)).clamp(0, 1)
    pairs = zip(made.flatten(0, 1), frames[:, 2:].flatten(0, 1), strict=True)
    mean = np.mean([psnr(a, b) for a, b in pairs])
    # Other videos than those of the card, and no selected setting.
    assert mean == pytest.approx(promised(folder, TEST), abs=2)


def test_ebts_of_video_think_and_prefer_the_truth() -> None:
    for name in ("ebt_published", "ebt_residual"):
        model = load(CHECKPOINTS / "next_frame" / name)
        (clip,) = videos(model.size, 1)
        thought = model.think(clip[:8], steps=3)
        assert thought.energies[1] < thought.energies[0]
        truth, foreign = model.energy(clip[:8], torch.stack([clip[8], 1 - clip[8]]))
        assert truth < foreign
    with pytest.raises(InputError, match="TransformerPP; load gives one of"):
        load(CHECKPOINTS / "next_frame" / "transformer_pp")


@pytest.mark.parametrize("name", ["ebt_published", "ebt_residual"])
def test_an_image_model_removes_noise_from_an_image_of_any_size(name: str) -> None:
    model = load_denoiser(CHECKPOINTS / "denoise" / name)
    drawn = render_dead_leaves((1, 0), DeadLeavesConfig(size=64))
    clean = torch.from_numpy(drawn).permute(2, 0, 1)[:, :50].float() / 255
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = clean + 25 / 255 * noise
    found = model.denoise(noisy, sigma=25)
    assert found.shape == clean.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert psnr(found, clean) > psnr(noisy, clean) + 4
    assert torch.equal(found, model.denoise(noisy, sigma=25))
    assert not torch.equal(found, model.denoise(noisy, sigma=25, steps=5))
    with pytest.raises(InputError, match="give floats"):
        model.denoise((noisy * 255).byte(), sigma=25)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_finds_what_the_cards_of_videos_say(tmp_path: Path) -> None:
    arguments = ["--task", "next_frame", "--models", "copy_last", "--seeds", "0"]
    for name in VIDEO:
        arguments += ["--checkpoint", f"my_{name}={CHECKPOINTS / 'next_frame' / name}"]
    places = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert main([*arguments, *places]) == 0
    result = read_result(tmp_path / "run")
    for name in VIDEO:
        (model,) = (m for m in result.models if m.name == f"my_{name}")
        (row,) = (
            row
            for row in model.rows
            if row.selected and row.condition == {"split": "test", "protocol": "teacher_forced"}
        )
        card = promised(CHECKPOINTS / "next_frame" / name, TEST)
        assert row.metrics["psnr"].mean == pytest.approx(card, abs=0.02)


def test_configurations_hold_no_place_of_a_machine() -> None:
    for path in CHECKPOINTS.rglob("*"):
        if path.suffix in (".json", ".md", ".yaml"):
            text = path.read_text(encoding="utf-8")
            assert without_places(text) == text
    for path in CHECKPOINTS.rglob("config.json"):
        assert json.loads(path.read_text())["commit"]
