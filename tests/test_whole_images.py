import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from baselines.classical import GaussianBlur
from baselines.dncnn import DnCNN
from benchmarks.cli.command_line import main
from benchmarks.domains.image.data import whole_images
from benchmarks.domains.image.yardstick import QUOTED, quoted_rows
from benchmarks.record.results import read_result
from benchmarks.tasks.registry import load_task
from data_prep.config import DeadLeavesConfig, EncoderConfig
from data_prep.encoders.dct import BlockDCT
from data_prep.errors import InputError
from data_prep.sources.layouts import list_test_sources
from data_prep.sources.media import IMAGES
from data_prep.synthetic.dead_leaves import render_dead_leaves
from denoise.config import CorruptionConfig
from denoise.corruption import Corruption, corruptions
from denoise.diffusion import signal_and_noise, step_of_sigma
from denoise.model import Denoiser
from denoise.whole_images import Tiling, denoise_whole
from worldmodel.predictor import Clips, Setting, Trajectory

SIZE = 16
ENCODER = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), SIZE)


def sigma(value: float) -> Corruption:
    found = corruptions(CorruptionConfig(sigmas=[value]))
    return next(corruption for corruption in found if corruption.sigma == value)


def picture(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("value", [15, 25, 50])
def test_sigma_is_gaussian_noise_on_pixels_neither_clipped_nor_rounded(value: float) -> None:
    frames = picture(400, 300)[None].round()  # black and white: clipping would show
    noise = sigma(value).on_pixels(frames, ["a"], 0) - frames
    assert float(noise.std()) * 255 == pytest.approx(value, rel=0.01)
    assert abs(float(noise.mean())) * 255 < value / 100
    assert float((noise / noise.std()).pow(4).mean()) == pytest.approx(3, abs=0.05)
    assert not torch.allclose(noise * 255, (noise * 255).round(), atol=1e-3)
    again = sigma(value).on_pixels(frames.repeat(2, 1, 1, 1), ["b", "a"], 0) - frames
    assert torch.equal(noise[0], again[1])
    assert not torch.allclose(noise[0], again[0], atol=0.01)


def test_models_get_sigma_as_diffusion_of_the_same_strength() -> None:
    frames = torch.stack([picture(SIZE, SIZE)] * 200)
    step = step_of_sigma(25)
    signal, noise = signal_and_noise(step)
    assert noise / signal == pytest.approx(2 * 25 / 255, rel=0.02)
    noisy = sigma(25).apply(frames, [f"{n}" for n in range(200)], ENCODER, 0, step)
    assert (noisy.step, noisy.signal) == (step, signal)
    difference = noisy.embeddings[:, 0] - signal * ENCODER.encode(frames)
    assert float(difference.std()) == pytest.approx(noise, rel=0.02)


class Local(Denoiser):
    """Looks at single pixels; counts the tiles that it gets at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        self.most = max(self.most, len(context.keys))
        assert len(set(context.keys)) == len(context.keys)
        pixels = ENCODER.decode(context.embeddings[:, 0])
        return Trajectory(ENCODER.encode(pixels**2 / 3)[None, :, None])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 61), (9, 40), (64, 21), (3, 2)])
@pytest.mark.parametrize("overlap", [0, 1, 5, 8])
def test_tiles_of_a_local_model_equal_its_single_pass(
    height: int, width: int, overlap: int
) -> None:
    image, model = picture(height, width), Local()
    tiling = Tiling(SIZE, overlap, batch=3)
    clean = denoise_whole(model, image, 25, Setting(), ENCODER, tiling, "image")
    signal = signal_and_noise(step_of_sigma(25))[0]
    seen = ((image * 2 - 1) * signal + 1) / 2  # as diffusion has it
    assert torch.allclose(clean, seen**2 / 3, atol=1e-5)
    assert model.most == min(3, tiling.count(height, width))


def test_a_denoiser_of_pixels_sees_the_whole_image_at_once() -> None:
    image = picture(40, 50)
    blur = GaussianBlur(ENCODER)
    setting = blur.settings([])[1]
    clean = denoise_whole(blur, image, 25, setting, ENCODER, Tiling(SIZE, 4, 2), "image")
    assert torch.equal(clean, blur.denoise(image[None], 25 / 255, setting)[0])


class Blind(Denoiser):
    """Fills what it cannot know, at the edge of a tile, with a guess: the worst of its pixels."""

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        guess = ENCODER.decode(context.embeddings[:, 0])
        guess[..., [0, -1], :] = guess[..., :, [0, -1]] = 1
        return Trajectory(ENCODER.encode(guess)[None, :, None])


def test_windows_hide_what_is_wrong_at_the_edges_of_tiles() -> None:
    image, tiling = torch.zeros(3, 61, 61), Tiling(SIZE, 8, 64)
    error = denoise_whole(Blind(), image, 1e-3, Setting(), ENCODER, tiling, "image")[0].abs()
    assert float(error[1:-1, 1:-1].max()) < 0.1  # a mean without a window would have 0.5
    assert float(error[0].min()) > 0.9  # nothing else covers the edge of the image


def write_dncnn(path: Path, channels: int = 1, layers: int = 3) -> Path:
    generator = torch.Generator().manual_seed(0)
    widths = [channels, *[8] * (layers - 1), channels]
    weights = {}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        kernel = torch.randn(outputs, inputs, 3, 3, generator=generator) / 20
        weights |= {
            f"model.{2 * number}.weight": kernel,
            f"model.{2 * number}.bias": kernel[:, 0, 0, 0],
        }
    save_file({name: tensor.clone() for name, tensor in weights.items()}, path)
    return path


def plain_dncnn(weights: dict[str, Tensor], noisy: Tensor) -> Tensor:
    features, layers = noisy, len(weights) // 2
    for layer in range(layers):
        kernel, bias = weights[f"model.{2 * layer}.weight"], weights[f"model.{2 * layer}.bias"]
        features = F.conv2d(features, kernel, bias, padding=1)
        features = features.relu() if layer < layers - 1 else features
    return noisy - features


def test_the_public_dncnn_equals_a_plain_script(real_data: Path) -> None:
    file = real_data / "weights/dncnn/dncnn_gray_sigma25.safetensors"
    corpus = list_test_sources(real_data / "images/kodak24", IMAGES, "--test")
    images, rejected = whole_images(corpus, grey=True, most=2)
    assert images is not None
    assert (images.grey, rejected, images.sizes) == (True, [], [(500, 500)] * 2)
    model = DnCNN(str(file), ENCODER)
    assert model.only_sigma == 25
    for source in images.sources:
        picture = Image.open(real_data / "images/kodak24" / source).convert("L")
        truth = torch.from_numpy(np.array(picture)).float() / 255
        assert torch.equal(images.clean(source), truth.expand(3, -1, -1))
        noisy = images.noisy(images.clean(source), source, sigma(25), 0)
        assert torch.equal(noisy[0], noisy[2])
        noisy, truth = noisy[:, :200, :200], truth[:200, :200]
        tiling = Tiling(SIZE, 4, 2)
        clean = denoise_whole(model, noisy, 25, Setting(), ENCODER, tiling, source)
        expected = plain_dncnn(load_file(file), noisy[None, :1])[0, 0]
        assert torch.allclose(clean, expected.expand(3, -1, -1), atol=1e-5)
        error = (clean[0].clamp(0, 1) - truth).square().mean()
        before = (noisy[0].clamp(0, 1) - truth).square().mean()
        assert error < before / 4


@pytest.mark.parametrize("channels", [1, 3])
def test_dncnn_takes_colours_together_or_by_channel(channels: int, tmp_path: Path) -> None:
    file = write_dncnn(tmp_path / "dncnn_color_blind.safetensors", channels)
    model, image = DnCNN(str(file), ENCODER), picture(24, 20)[None]
    assert model.only_sigma is None
    weights = load_file(file)
    parts = [image] if channels == 3 else image.split(1, dim=1)
    expected = torch.cat([plain_dncnn(weights, part) for part in parts], dim=1)
    assert torch.allclose(model.denoise(image, 0.1, Setting()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"model.0.weight": torch.zeros(1)}, "no DnCNN: it needs convolutions"),
        ({f"model.{n}.weight": torch.zeros(8, 8, 3, 3) for n in (0, 3)}, "no DnCNN: it needs"),
        ({f"model.{n}.weight": torch.zeros(8, 8, 3, 3) for n in (0, 2)}, "8 → 8 → 8"),
        (
            {"model.0.weight": torch.zeros(8, 1, 3, 3), "model.2.weight": torch.zeros(1, 4, 3, 3)},
            "its channels are 1 → 8 → 1",
        ),
        ({f"model.{n}.weight": torch.zeros(1, 1, 3, 3) for n in (0, 2)}, "Missing key"),
        (
            {
                f"model.{n}.{part}": torch.zeros(4, *([4, 3, 3] if part == "weight" else []))
                for n in (0, 2)
                for part in ("weight", "bias")
            },
            "4 → 4 → 4",
        ),
    ],
)
def test_other_weights_than_of_a_dncnn_are_refused(
    weights: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=message):
        DnCNN(str(tmp_path / "w.safetensors"), ENCODER)


def test_a_pickle_that_runs_code_is_not_opened(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"model.0.weight": Harmful(marker)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no file of tensors alone"):
        DnCNN(str(tmp_path / "w.pth"), ENCODER)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK", b"\x80\x02", b"<html>"])
def test_what_is_no_file_of_weights_is_said_in_a_line(content: bytes, tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"w\.\w+: no file of tensors alone"):
            DnCNN(str(tmp_path / name), ENCODER)
    torch.save({"state_dict": {"model.0.weight": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(InputError, match="without anything around them"):
        DnCNN(str(tmp_path / "nested.pth"), ENCODER)


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("dncnn_25", 25), ("dncnn_gray_sigma50", 50), ("dncnn3", None), ("dncnn_epoch_100", None)],
)
def test_a_number_at_the_end_of_the_name_is_the_noise(
    name: str, sigma: int | None, tmp_path: Path
) -> None:
    assert DnCNN(str(write_dncnn(tmp_path / f"{name}.safetensors")), ENCODER).only_sigma == sigma


class Harmful:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def write_awkward(folder: Path) -> None:
    folder.mkdir()
    leaves = Image.fromarray(render_dead_leaves((0, 0), DeadLeavesConfig(size=48)))
    leaves.save(folder / "a_plain.png")
    leaves.convert("CMYK").save(folder / "b_cmyk.jpg", quality=95)
    palette = leaves.convert("P")
    palette.info["transparency"] = 0
    palette.save(folder / "c_palette.png", transparency=0)
    turned = leaves.crop((0, 0, 48, 32))
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn
    turned.save(folder / "d_turned.png", exif=exif)
    deep = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    Image.fromarray(deep).save(folder / "e_16_bit.png")
    Image.new("1", (20_000, 15_000)).save(folder / "f_huge.png")
    Image.new("RGB", (6000, 5000)).save(folder / "g_large.png")
    Image.new("RGB", (1, 1)).save(folder / "h_pixel.png")
    (folder / "i_text.png").write_text("no image")


def test_awkward_images_are_read_right_or_refused_in_a_line(tmp_path: Path) -> None:
    write_awkward(tmp_path / "set")
    corpus = list_test_sources(tmp_path / "set", IMAGES, "--test")
    images, rejected = whole_images(corpus, grey=False, most=None)
    assert images is not None
    assert [source[0] for source in images.sources] == ["a", "b", "c", "d", "e"]
    assert images.sizes[3] == (48, 32)  # upright
    assert not images.grey
    for source, (height, width) in zip(images.sources, images.sizes, strict=True):
        image = images.clean(source)
        assert image.shape == (3, height, width)
        assert 0 <= float(image.min()) < float(image.max()) <= 1
    reasons = {entry["source"][0]: entry["reason"] for entry in rejected}
    assert "300000000 pixels) exceeds limit" in reasons.pop("f")
    assert reasons == {
        "g": "6000x5000 pixels; more than 25,000,000 do not fit in memory",
        "h": "1x1 pixels; sides below 16 are not judged",
        "i": "no readable image: cannot identify image file the file",
    }


def test_quoted_rows_name_their_sources() -> None:
    import yaml

    content = yaml.safe_load(QUOTED.read_text())
    for row in content["rows"]:
        assert row["sources"]
        assert set(row["sources"]) <= set(content["sources"])
        assert all(20 < value < 40 for value in row["psnr"].values())
    assert {row.model for row in quoted_rows("Kodak24", False, 24)} >= {"DRUNet", "Restormer"}
    assert quoted_rows("kodak24", True, 24) == []
    assert quoted_rows("kodak24", False, 23) == []  # not the whole set
    assert quoted_rows("holiday", False, 24) == []


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that judges whole grey images, under the name of a known set."""
    folder = tmp_path_factory.mktemp("whole")
    images = folder / "images"
    images.mkdir()
    for number in range(12):
        leaves = render_dead_leaves((0, number), DeadLeavesConfig(size=24 + number))
        Image.fromarray(leaves).convert("L").save(images / f"{number}.png")
    weights = write_dncnn(folder / "dncnn_25.safetensors")
    line = ["--task", "denoise", "--preset", "smoke", "--models", "ebt_residual,direct,identity"]
    line += ["--images.size", "16", "--training.steps", "2", "--training.validate_every", "1"]
    line += ["--corruption.levels", "[0.1]", "--corruption.swept_levels", "[0.1]"]
    line += ["--corruption.sigmas", "[15,25]"]
    line += ["--training.warmup_steps", "1", "--evaluation.counts", "[1,2]"]
    line += ["--test", f"set12={images}", "--checkpoint", f"others=dncnn:{weights}"]
    line += ["--cache-dir", str(folder / "cache"), "--out", str(folder / "out")]
    assert main(line) == 0
    return folder / "out"


def test_whole_images_are_judged_beside_quoted_rows(judged: Path) -> None:
    result = json.loads((judged / "results.json").read_text())
    assert result["data"]["whole_sets"]["set12"] == {"images": 12, "grey": True}
    rows = {
        (model["name"], row["condition"]["corruption"]): row
        for model in result["models"]
        for row in model["rows"]
        if row["condition"]["images"] == "set12" and row["selected"]
    }
    assert ("others", "sigma 25") in rows
    assert not [key for key in rows if key[0] == "others" and key[1] != "sigma 25"]
    for name in ("ebt_residual", "direct", "identity"):
        assert {"level 0.1", "sigma 15", "sigma 25"} <= {c for n, c in rows if n == name}
    whole = rows["direct", "sigma 25"]
    assert whole["metrics"]["psnr"]["n"] == 12
    tiles = Tiling(16, 8, 1).count(24, 24)
    assert tiles == 4
    assert whole["cost"]["flops"] == tiles * rows["direct", "level 0.1"]["cost"]["flops"]
    assert whole["cost"]["forward_passes"] == tiles
    assert whole["cost"]["latency_ms"] is whole["cost"]["peak_memory_bytes"] is None
    others = rows["others", "sigma 25"]["cost"]
    assert others["forward_passes"] == 1  # the whole image at once
    convolutions = 3 * 3 * 3 * 2 * (8 + 8 * 8 + 8)  # FLOPs of a pixel, each channel by itself
    crops = 3 * 16 * 16  # as many pixels as three crops have: 24x24, rounded up
    assert convolutions * crops <= others["flops"] < 1.1 * convolutions * crops
    report = (judged / "report.md").read_text()
    assert "### set12, 12 images, grey" in report
    assert "| DRUNet, quoted | 33.25 | 30.94 |" in report
    assert "| others, trained by others | – |" in report
    assert "Quoted rows were not run here" in report
    header, lines = load_task("denoise").headline(read_result(judged), "whole set12")
    assert header[:3] == ["model", "sigma 15", "sigma 25"]
    assert {"Direct", "DRUNet, quoted"} <= {line[0] for line in lines}
    compared = {name for c in result["comparisons"] for name in (c["a"], c["b"])}
    assert "DRUNet" not in compared


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint", "a=dncnn:/nowhere.safetensors"], "/nowhere.safetensors: no such file"),
        (["--corruption.sigmas", "[0]"], "corruption.sigmas: 0.0 is not in (0, 255]"),
        (["--evaluation.tile_overlap", "20"], "evaluation.tile_overlap is 20: at most half"),
    ],
)
def test_wrong_options_are_said_at_once(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--task", "denoise", "--preset", "smoke", "--out", str(tmp_path / "out")]
    assert main([*line, "--cache-dir", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
