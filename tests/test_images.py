import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.config import DeadLeavesConfig, EncoderConfig, ImagesConfig
from data_prep.decoding.images import crops_of, read_crops, read_image
from data_prep.embed import prepare_embeddings
from data_prep.errors import DecodeError, InputError
from data_prep.frames import prepare_images
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.sources.corpus import Corpus
from data_prep.sources.media import IMAGES
from data_prep.sources.source import Source
from data_prep.synthetic.dead_leaves import prepare_dead_leaves, render_dead_leaves

LEAVES = DeadLeavesConfig(train=6, validation=2, test=3, size=48)
CROPS = ImagesConfig(size=16, crops=3)


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return prepare_dead_leaves(tmp_path_factory.mktemp("cache"), LEAVES, CROPS)


def photograph(height: int = 40, width: int = 56) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def test_dead_leaves_are_decided_by_their_seed_and_number() -> None:
    canvas = render_dead_leaves((0, 1), LEAVES)
    assert canvas.shape == (48, 48, 3)
    assert canvas.dtype == np.uint8
    assert canvas.std() > 20
    assert np.array_equal(canvas, render_dead_leaves((0, 1), LEAVES))
    for other in ((0, 2), (1, 1)):
        assert not np.array_equal(canvas, render_dead_leaves(other, LEAVES))


def test_dead_leaves_look_alike_at_every_scale() -> None:
    """The amplitude of natural images falls about as 1 / frequency."""
    config = DeadLeavesConfig(size=128)
    power = 0.0
    for number in range(6):
        grey = render_dead_leaves((0, number), config).mean(2)
        window = np.hanning(128)[:, None] * np.hanning(128)[None]
        power = power + np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    rings = [(0.03, 0.06), (0.06, 0.12), (0.12, 0.24)]
    levels = [np.mean(power[(frequency >= a) & (frequency < b)]) for a, b in rings]
    slopes = np.diff(np.log2(levels)) / 2
    assert (slopes < -0.5).all()
    assert (slopes > -1.9).all()


def test_dead_leaves_become_a_shard_set_that_is_kept(leaves: ShardSet, tmp_path: Path) -> None:
    assert leaves.manifest["samples"] == {"train": 18, "validation": 2, "test": 3}
    frames = leaves.read_frames(leaves.samples("train")[0])
    assert frames.shape == (1, 16, 16, 3)
    again = prepare_dead_leaves(tmp_path, LEAVES, CROPS)
    shards = again.manifest["shards"]
    assert [s["sha256"] for s in shards] == [s["sha256"] for s in leaves.manifest["shards"]]
    tar = again.folder / "train-000000.tar"
    before = tar.stat().st_mtime_ns
    prepare_dead_leaves(tmp_path, LEAVES, CROPS)
    assert tar.stat().st_mtime_ns == before
    embeddings = prepare_embeddings(again, tmp_path, EncoderConfig(patch_size=4, frequencies=None))
    assert embeddings.read_embeddings(embeddings.samples("test")[0]).shape == (1, 16, 48)


def test_damaged_dead_leaves_are_rendered_again(
    leaves: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leaves.folder is not None
    assert leaves.manifest["arguments"]["size"] == 16  # of a frame, as readers expect
    out = Path(shutil.copytree(leaves.folder, tmp_path / "set"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    os.truncate(out / "train-000000.tar", 10240)
    (out / "test-000000.tar").unlink()
    assert main(["verify", str(out)]) == 1
    assert main(["verify", str(out), "--repair", "--source", str(tmp_path)]) == 2
    assert "--source is not needed" in capsys.readouterr().err
    assert main(["verify", str(out), "--repair", "--workers", "1"]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_crops_lie_in_the_image_and_depend_on_its_name_alone() -> None:
    image = photograph()
    crops = crops_of(image, 20, 16, "a")
    windows = {
        image[top : top + 16, left : left + 16].tobytes()
        for top in range(40 - 15)
        for left in range(56 - 15)
    }
    assert all(crop.tobytes() in windows for crop in crops)
    again = crops_of(image, 20, 16, "a")
    assert all(np.array_equal(a, b) for a, b in zip(crops, again, strict=True))
    others = crops_of(image, 20, 16, "b")
    assert not all(np.array_equal(a, b) for a, b in zip(crops, others, strict=True))


def test_resizing_keeps_the_proportions(tmp_path: Path) -> None:
    Image.fromarray(photograph(40, 56)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", None).shape == (40, 56, 3)
    assert read_image(tmp_path / "a.png", 20).shape == (20, 28, 3)


def test_all_kinds_of_pictures_become_rgb(tmp_path: Path) -> None:
    colour = photograph()
    picture = Image.fromarray(colour)
    grey = np.asarray(picture.convert("L"))
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    picture.quantize(64).save(tmp_path / "palette.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    expected = {
        "grey.png": np.repeat(grey[:, :, None], 3, axis=2),
        "deep.png": np.repeat(grey[:, :, None], 3, axis=2),
        "cmyk.tif": colour,
        "alpha.png": colour,
        "palette.png": colour,
    }
    for name, wanted in expected.items():
        found = read_image(tmp_path / name, None)
        assert found.shape == wanted.shape
        error = np.abs(found.astype(int) - wanted).mean()
        assert error < (20 if name == "palette.png" else 1.5), name


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    Image.fromarray(photograph()).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", None).shape == (56, 40, 3)


def awkward_folder(folder: Path) -> Path:
    """Good images, and one of each kind that cannot be used."""
    for number in range(12):
        Image.fromarray(np.roll(photograph(), number)).save(folder / f"{number:02d}.png")
    Image.fromarray(photograph()).convert("L").save(folder / "grey é.jpg")
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").write_bytes(b"")
    Image.fromarray(photograph(10, 12)).save(folder / "small.png")
    whole = folder / "cut.bmp"
    Image.fromarray(photograph()).save(whole)
    whole.write_bytes(whole.read_bytes()[:3000])
    return folder


def test_what_cannot_be_used_is_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shards = prepare_images(awkward_folder(folder), tmp_path / "cache", CROPS)
    rejected = {entry["source"]: entry["reason"] for entry in shards.manifest["rejected"]}
    assert set(rejected) == {"text.jpg", "empty.png", "small.png", "cut.bmp"}
    assert rejected["small.png"] == "12x10 pixels, smaller than a crop of 16x16"
    assert "no readable image" in rejected["text.jpg"]
    assert str(tmp_path) not in (shards.folder / "manifest.json").read_text()
    used = {s.source for split in ("train", "validation", "test") for s in shards.samples(split)}
    assert len(used) == 13
    assert "grey é.jpg" in used


def test_a_folder_without_a_usable_image_is_an_error(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_text("not an image")
    with pytest.raises(InputError, match=r"nothing readable .* 3 files rejected; the first: "):
        prepare_images(tmp_path, tmp_path / "cache", CROPS)
    with pytest.raises(InputError, match="no image in this folder"):
        prepare_images(tmp_path / "cache", tmp_path, CROPS)


def test_reading_reports_damage_as_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DecodeError, match="no readable image"):
        list(read_crops(tmp_path / "a.png", Source("a.png", "train", "a"), CROPS))


def test_real_photographs(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "images" / "set5"
    sources = [Source(path.name, "test", path.stem) for path in sorted(folder.glob("*.bmp"))]
    corpus = Corpus(str(folder), IMAGES, sources)
    shards = prepare_images(folder, tmp_path, ImagesConfig(), corpus)
    assert shards.manifest["samples"] == {"train": 0, "validation": 0, "test": 10}
    assert shards.manifest["rejected"] == []
