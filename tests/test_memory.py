"""Memory is bounded: by the number of clips, of frames and of parts; and known beforehand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from baselines.trivial import CopyLast
from benchmarks.cli.command_line import main
from benchmarks.domains.video.config import VideoEvaluationConfig
from benchmarks.domains.video.data import VideoData
from benchmarks.domains.video.judge import FrameJudge
from benchmarks.measure.costs import peak_memory
from benchmarks.measure.memory import fake_tensors, held_bytes
from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from data_prep.shards.format import SampleReference, ShardSet
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.data import Scaler
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor, Setting

ENCODER = BlockDCT(EncoderConfig(patch_size=8, frequencies=None), 16)
SMALL = BackboneConfig(layers=2, heads=2, width=64)


class ManyClips(ShardSet):
    """A shard set of small clips that are drawn when they are read."""

    def __init__(self, clips: int):
        self.clips = clips
        self.manifest = {"encoder": {"dim": ENCODER.dim}}

    def samples(self, split: str) -> list[SampleReference]:
        return [SampleReference(f"{split}-{i}", f"video-{i}", "", {}) for i in range(self.clips)]

    def read_embeddings(self, sample: SampleReference) -> np.ndarray:
        return np.zeros((6, 4, ENCODER.dim), np.float16)

    def read_frames(self, sample: SampleReference) -> np.ndarray:
        return np.zeros((6, 16, 16, 3), np.uint8)


def judge(clips: int) -> FrameJudge:
    shards, scaler = ManyClips(clips), Scaler(torch.zeros(ENCODER.dim), torch.ones(ENCODER.dim))
    config = VideoEvaluationConfig(batch_size=16, context_frames=2, horizon=2)
    return FrameJudge(config, VideoData("many", shards, shards, ENCODER, scaler), CopyLast(), "cpu")


@pytest.mark.slow
def test_judging_many_clips_takes_no_more_memory_than_few() -> None:
    peaks = {}
    for clips in (200, 2000):
        judged = judge(clips)
        condition = next(c for c in judged.conditions if c.split == "test")
        peaks[clips] = held_bytes(lambda: judged.values(CopyLast(), [Setting()], condition))  # noqa: B023
    assert peaks[2000] < 1.1 * peaks[200]


def test_at_most_so_many_clips_are_judged_always_the_same() -> None:
    config = VideoEvaluationConfig(max_clips=5, context_frames=2, horizon=2)
    shards, scaler = ManyClips(40), Scaler(torch.zeros(ENCODER.dim), torch.ones(ENCODER.dim))
    data = VideoData("many", shards, shards, ENCODER, scaler)
    first, second = (FrameJudge(config, data, CopyLast(), "cpu") for _ in range(2))
    assert first.chosen == second.chosen
    assert len(set(first.chosen["test"])) == 5
    values = first.values(CopyLast(), [Setting()], first.conditions[0])
    assert len(values[0]["psnr"]) == 5


def step_of(model: Predictor, batch: Clips) -> Callable[[], None]:
    def step() -> None:
        for loss in model.training_losses(batch, 0):
            loss.backward()

    return step


def clips(frames: int, patches: int = 4) -> Clips:
    generator = torch.Generator().manual_seed(0)
    return Clips(torch.randn(2, frames, patches, 16, generator=generator), ["a", "b"])


def test_fake_memory_is_that_of_a_real_step() -> None:
    torch.manual_seed(0)
    model, batch = TransformerPP(TransformerPPConfig(), SMALL, (4, 4), 16), clips(9, 16)
    step_of(model, batch)()
    real = peak_memory(step_of(model, batch), "cpu")
    counted = held_bytes(step_of(model, batch), model.parameters())
    with fake_tensors():
        model = TransformerPP(TransformerPPConfig(), SMALL, (4, 4), 16)
        step_of(model, clips(9, 16))()
        found = held_bytes(step_of(model, clips(9, 16)), model.parameters())
    assert counted == pytest.approx(real, rel=0.15)
    assert found == pytest.approx(counted, rel=0.1)


def large_frames(frames: int) -> tuple[int, int]:
    """Bytes that a training step of EBT and Transformer++ holds on frames of 144 patches."""
    found = []
    with fake_tensors("cpu"):
        for kind, config in ((NextFrameEBT, EBTConfig()), (TransformerPP, TransformerPPConfig())):
            model = kind(config, SMALL, (12, 12), 16)  # type: ignore[operator]
            model.backbone.enable_gradient_checkpointing()
            batch = Clips(torch.randn(1, frames, 144, 16), ["a"])
            found.append(held_bytes(step_of(model, batch), model.parameters()))
    return found[0], found[1]


@pytest.mark.slow
def test_memory_grows_with_the_tokens_and_not_with_their_square() -> None:
    (short, plain), (long, _) = large_frames(6), large_frames(12)
    assert short < 3 * plain
    assert long < 2.2 * short


def test_parts_of_a_batch_take_less_memory() -> None:
    torch.manual_seed(0)
    model = NextFrameEBT(EBTConfig(), SMALL, (4, 4), 16)
    batch = replace(clips(9, 16), embeddings=torch.randn(8, 9, 16, 16), keys=list("abcdefgh"))
    whole = held_bytes(step_of(model, batch), model.parameters())
    part = held_bytes(step_of(model, next(batch.parts(4))), model.parameters())
    assert part < 0.5 * whole


@pytest.mark.parametrize(
    ("task", "models"),
    [
        ("next_frame", "ebt_residual"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("next_frame", "transformer_pp,transformer_pp_gaussian,flow,dit,conv_lstm"),
                ("denoise", "ebt_residual,direct,direct_equal_training,dit,eqm,eqm_energy"),
                ("thinking", "ebt_residual,ebt_residual_system2,transformer_pp_looped"),
            )
        ),
    ],
)
def test_a_dry_run_says_what_a_run_would_take(
    task: str, models: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.zeros(1)
    out = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    chosen = ["--models", models]
    assert main(["--task", task, "--preset", "smoke", *chosen, "--dry-run", *out]) == 0
    said = capsys.readouterr().out
    assert "built in" in said
    assert "fits this machine's memory" in said
    for name in chosen[1].split(","):
        assert name in said
    assert not list(tmp_path.iterdir())
    assert float(before + 1) == 1  # torch is as it was
