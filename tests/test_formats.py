"""Arrays, folders of frames and animated images as videos."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.config import CorpusConfig
from data_prep.decoding.stills import read_array_clips
from data_prep.errors import InputError
from data_prep.frames import prepare_frames
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.sources.layouts import list_corpus
from data_prep.sources.media import VIDEOS

CONFIG = CorpusConfig(frames=4, size=16, sources_per_shard=4)


def moving(count: int, frames: int = 9, size: int = 16) -> np.ndarray:
    """Grey videos uint8 `[N, T, size, size]` of noise that shifts by one pixel a frame."""
    first = np.random.default_rng(0).integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    return np.concatenate([np.roll(first, shift, axis=3) for shift in range(frames)], axis=1)


def clips_of(shards: ShardSet) -> dict[str, list[np.ndarray]]:
    """The clips of each source, in order."""
    found: dict[str, list[np.ndarray]] = {}
    for split in ("train", "validation", "test"):
        for sample in shards.samples(split):
            found.setdefault(sample.source, []).append(shards.read_frames(sample))
    return found


@pytest.mark.parametrize(
    ("axes", "order", "given"),
    [
        ("NTHW", (0, 1, 2, 3), "NTHW"),
        ("TNHW", (1, 0, 2, 3), "TNHW"),
        ("HWTN", (2, 3, 1, 0), "HWTN"),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float", "npz"])
def test_arrays_of_many_videos_are_read_in_any_order_of_axes(
    axes: str, order: tuple[int, ...], given: str, kind: str, tmp_path: Path
) -> None:
    videos, folder = moving(10), tmp_path / "corpus"
    folder.mkdir()
    array = videos.transpose(order)
    if kind == "npz":
        np.savez_compressed(folder / "seq.npz", array)
    else:
        np.save(folder / "seq.npy", array if kind == "uint8" else (array / 255).astype("f4"))
    config = CorpusConfig(frames=4, size=16, axes=given)
    found = clips_of(prepare_frames(folder, tmp_path / "cache", config))
    suffix = "npz" if kind == "npz" else "npy"
    assert set(found) == {f"seq.{suffix}#{number}" for number in range(10)}
    for source, clips in found.items():
        video = videos[int(source.rpartition("#")[2])]
        assert len(clips) == 2  # nine frames: two clips of four
        for number, clip in enumerate(clips):
            expected = video[4 * number : 4 * number + 4, ..., None]
            assert np.array_equal(clip, np.broadcast_to(expected, clip.shape))


@pytest.mark.parametrize("axes", ["THW", "THWC", "TCHW"])
def test_what_a_shape_cannot_mean_otherwise_needs_no_axes(axes: str, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, video in enumerate(moving(6)):
        array = {
            "THW": video,
            "THWC": np.stack([video] * 3, axis=-1),
            "TCHW": video[:, None],
        }[axes]
        np.save(folder / f"{number}.npy", array)
    found = clips_of(prepare_frames(folder, tmp_path / "cache", CONFIG))
    assert sorted(found) == [f"{number}.npy#0" for number in range(6)]


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((20, 30, 16, 16), None, "does not say which axis is which"),
        ((3, 20, 16, 16, 3), None, "does not say which axis is which"),
        ((20, 3, 16, 3), None, "does not say which axis is which"),
        ((20, 16, 16), "TNHW", "axes TNHW do not fit its shape"),
        ((20, 16, 16, 16), "TCHW", "axes TCHW do not fit its shape"),
    ],
)
def test_an_array_in_another_order_than_stated_is_refused_in_a_line(
    shape: tuple[int, ...], axes: str | None, message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=r"a\.npy.*" + message):
        list_corpus(str(tmp_path), CorpusConfig(axes=axes), "--data", media=VIDEOS)


@pytest.mark.parametrize("axes", ["HW", "TTHW", "XTHW", "thw"])
def test_wrong_letters_of_axes_are_refused(axes: str) -> None:
    with pytest.raises(InputError, match="give one letter an axis"):
        CorpusConfig(axes=axes)


def test_what_is_no_pixels_is_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, video in enumerate(moving(24)):
        np.save(folder / f"good{number}.npy", video)
    np.save(folder / "wide.npy", moving(1)[0].astype("f4"))
    np.save(folder / "deep.npy", moving(1)[0].astype("i4"))
    np.save(folder / "objects.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    np.save(folder / "still.npy", np.zeros((9, 16, 16), np.uint8))
    np.save(folder / "short.npy", moving(1, frames=2)[0])
    (folder / "torn.npy").write_bytes(b"\x93NUMPY")
    np.savez(folder / "two.npz", a=moving(1)[0], b=moving(1)[0])
    shards = prepare_frames(folder, tmp_path / "cache", CONFIG)
    reasons = {entry["source"]: entry["reason"] for entry in shards.manifest["rejected"]}
    said = {
        "wide": "floats from 0 to 255; save them in [0, 1]",
        "deep": "values of type int32",
        "objects": "no readable array",
        "still": "no motion",
        "short": "too short: 2 frames",
        "torn": "no readable array",
        "two": "holds 2 arrays; keep one in a file",
    }
    for name, reason in said.items():
        (source,) = (source for source in reasons if source.startswith(name))
        assert reason in reasons[source]
    assert len(clips_of(shards)) == 24


def write_frames(folder: Path, video: np.ndarray, name: str, numbers: list[int]) -> None:
    folder.mkdir(parents=True)
    for number, frame in zip(numbers, video, strict=False):
        Image.fromarray(frame).save(folder / name.format(number))


def test_folders_of_numbered_images_are_videos(tmp_path: Path) -> None:
    videos, root = moving(7, frames=12), tmp_path / "corpus"
    for number, video in enumerate(videos[:5]):
        write_frames(root / f"class/clip{number}", video, "img_{:05d}.png", list(range(1, 13)))
    write_frames(root / "class/tens", videos[5], "{}.png", list(range(10, 130, 10)))
    gap = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13]
    write_frames(root / "class/gap", videos[6], "f{}.png", gap)
    write_frames(root / "thumbnails", videos[0], "{}.png", [1, 2, 3])
    Image.fromarray(videos[0][0]).save(root / "cover.png")
    corpus = list_corpus(str(root), CONFIG, "--data", media=VIDEOS)
    said = "\n".join(corpus.describe())
    assert "taken for videos: 7 folders of frames (the first is class/clip0)" in said
    assert "4 .png" in said  # left out
    found = clips_of(prepare_frames(root, tmp_path / "cache", CONFIG))
    assert {source: len(clips) for source, clips in found.items()} == {
        **{f"class/clip{number}": 3 for number in range(5)},
        "class/tens": 3,
        "class/gap": 2,  # that across the gap is left out
    }
    for number, clip in enumerate(found["class/tens"]):
        expected = videos[5][4 * number : 4 * number + 4, ..., None]
        assert np.array_equal(clip, np.broadcast_to(expected, clip.shape))


def test_a_mixed_folder_says_what_it_took_for_what(balls: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    for number, file in enumerate(sorted((balls / "videos").rglob("*.mp4"))[:3]):
        (root / f"{number}.mp4").write_bytes(file.read_bytes())
    np.save(root / "array.npy", moving(1)[0])
    write_frames(root / "frames", moving(1)[0], "{}.jpg", list(range(9)))
    frames = [Image.fromarray(frame) for frame in moving(1)[0]]
    frames[0].save(
        root / "moving.webp", save_all=True, append_images=frames[1:], duration=250, lossless=True
    )
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:], duration=250)
    frames[0].save(root / "still.webp")
    corpus = list_corpus(str(root), CONFIG, "--data", media=VIDEOS)
    assert len(corpus.sources) == 7
    said = "\n".join(corpus.describe())
    assert "1 videos of 1 arrays (the first is array.npy)" in said
    assert "1 folders of frames (the first is frames)" in said
    assert "1 animated images (the first is moving.webp)" in said
    shards = prepare_frames(root, tmp_path / "cache", CONFIG)
    assert shards.manifest["rejected"] == []
    found = clips_of(shards)
    assert np.array_equal(found["moving.webp"][0], found["array.npy#0"][0])


def test_kth_is_split_by_persons(tmp_path: Path) -> None:
    root = tmp_path / "kth"
    for person in (1, 2, 3, 4, 5, 16, 17, 25):
        for action in ("boxing", "running"):
            folder = root / action / f"person{person:02d}_{action}_d1_uncomp"
            write_frames(folder, moving(1)[0], "image_{:04d}.jpg", list(range(1, 10)))
    corpus = list_corpus(str(root), CONFIG, "--data", media=VIDEOS)
    splits = {(source.group, source.split) for source in corpus.sources}
    assert {group for group, split in splits if split == "test"} == {"person17", "person25"}
    assert {group for group, split in splits if split == "validation"} == {"person16"}
    assert len(splits) == 8  # no person is in two
    assert {source.label for source in corpus.sources} == {"boxing", "running"}
    assert "the persons of KTH" in corpus.describe()[0]
    np.save(root / "other.npy", moving(1)[0])
    dealt = list_corpus(str(root), CONFIG, "--data", media=VIDEOS)
    assert "the persons of KTH" not in dealt.describe()[0]
    asked = list_corpus(str(root), CONFIG, "--data", layout="kth", media=VIDEOS)
    assert len(asked.sources) == 16


def test_lists_of_splits_come_before_the_persons_of_kth(tmp_path: Path) -> None:
    root = tmp_path / "kth"
    for person in (1, 2, 3, 17):
        folder = root / f"person{person:02d}_boxing_d1"
        write_frames(folder, moving(1)[0], "image_{:04d}.jpg", list(range(1, 10)))
    names = [f"person{person:02d}_boxing_d1" for person in (1, 2, 3, 17)]
    splits = ["test", "validation", "train", "train"]
    lines = [f"{name},{split}" for name, split in zip(names, splits, strict=True)]
    (root / "split.csv").write_text("\n".join(["name,split", *lines]))
    corpus = list_corpus(str(root), CONFIG, "--data", media=VIDEOS)
    assert {source.path: source.split for source in corpus.sources} == dict(
        zip(names, splits, strict=True)
    )


def test_images_alone_stay_images_unless_videos_are_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(tmp_path / name, moving(1)[0], name + "_{}.png", list(range(9)))
    assert list_corpus(str(tmp_path), CONFIG, "in").media.noun == "image"
    assert list_corpus(str(tmp_path), CONFIG, "in", media=VIDEOS).media.noun == "video"


def test_labels_beside_videos_are_no_videos(balls: Path, tmp_path: Path) -> None:
    for number, file in enumerate(sorted((balls / "videos").rglob("*.mp4"))[:3]):
        (tmp_path / f"{number}.mp4").write_bytes(file.read_bytes())
    np.save(tmp_path / "labels.npy", np.arange(6))
    np.save(tmp_path / "features.npy", np.zeros((6, 10, 32), np.float32))
    corpus = list_corpus(str(tmp_path), CONFIG, "in")
    assert len(corpus.sources) == 3
    assert "2 .npy" in "\n".join(corpus.describe())


def test_recordings_and_folders_with_dots_keep_their_groups(tmp_path: Path) -> None:
    for name in ("set.v2/clip.01", "set.v2/clip.02", "set.v2/clip.03"):
        write_frames(tmp_path / name, moving(1)[0], "{}.png", list(range(9)))
    for clip in (1, 2):
        np.save(tmp_path / f"v_A_g08_c0{clip}.npy", moving(1)[0])
    corpus = list_corpus(str(tmp_path), CONFIG, "in", media=VIDEOS)
    assert {source.group for source in corpus.sources} == {
        "set.v2/clip.01",
        "set.v2/clip.02",
        "set.v2/clip.03",
        "v_A_g08",
    }


def test_a_changed_frame_makes_the_set_anew(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number, video in enumerate(moving(6)):
        write_frames(root / f"{number}", video, "{}.png", list(range(9)))
    before = prepare_frames(root, tmp_path / "cache", CONFIG)
    assert prepare_frames(root, tmp_path / "cache", CONFIG).folder == before.folder
    Image.fromarray(moving(1)[0, 0].T.copy()).save(root / "0/3.png")
    assert prepare_frames(root, tmp_path / "cache", CONFIG).folder != before.folder


@pytest.mark.parametrize("swap", [".npy", ".npz"])
def test_an_array_under_a_wrong_suffix_is_read_or_rejected(swap: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", moving(1)[0])
    np.savez(tmp_path / "b.npz", moving(1)[0])
    wrong = tmp_path / ("b.npy" if swap == ".npy" else "a.npz")
    (tmp_path / ("b.npz" if swap == ".npy" else "a.npy")).rename(wrong)
    corpus = list_corpus(str(tmp_path), CONFIG, "in", media=VIDEOS)
    assert len(corpus.sources) == 2


def test_mirrored_clips_are_for_training_alone(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, video in enumerate(moving(6)):
        np.save(folder / f"{number}.npy", video)
    plain = prepare_frames(folder, tmp_path / "cache", CONFIG)
    config = CorpusConfig(frames=4, size=16, sources_per_shard=4, mirror=True)
    mirrored = prepare_frames(folder, tmp_path / "cache", config)
    for split, times in (("train", 2), ("validation", 1), ("test", 1)):
        before, after = plain.samples(split), mirrored.samples(split)
        assert len(after) == times * len(before)
        for number, sample in enumerate(before):
            clip = plain.read_frames(sample)
            assert np.array_equal(mirrored.read_frames(after[times * number]), clip)
            if times == 2:
                turned = mirrored.read_frames(after[2 * number + 1])
                assert np.array_equal(turned, clip[:, :, ::-1])
                assert after[2 * number + 1].source == sample.source


def test_the_official_moving_mnist_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_prep.sources.arrays.MOVING_MNIST_SHAPE", (9, 8, 16, 16))
    np.save(tmp_path / "mnist_test_seq.npy", moving(8).transpose(1, 0, 2, 3))
    corpus = list_corpus(str(tmp_path), CONFIG, "--data", media=VIDEOS)
    assert len(corpus.sources) == 8
    for number, video in enumerate(moving(8)):
        first = next(read_array_clips(tmp_path / "mnist_test_seq.npy", number, CONFIG))
        assert np.array_equal(first.frames[..., 0], video[:4])
    (tmp_path / "mnist_test_seq.npy").rename(tmp_path / "mnist.npy")
    with pytest.raises(InputError, match="does not say which axis"):
        list_corpus(str(tmp_path), CONFIG, "--data", media=VIDEOS)


def test_arrays_are_prepared_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/seq.npy", moving(8))
    line = ["shards", str(tmp_path / "in"), str(tmp_path / "out"), "--frames", "4", "--size", "16"]
    assert main(line) == 2
    assert "give corpus.axes" in capsys.readouterr().err
    assert main([*line, "--axes", "NTHW"]) == 0
    assert len(ShardSet(tmp_path / "out").samples("train")) > 0


def test_an_array_header_runs_no_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    header = f"__import__('pathlib').Path({str(marker)!r}).touch()".encode()
    stream = io.BytesIO()
    stream.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.npy").write_bytes(stream.getvalue())
    corpus = list_corpus(str(tmp_path / "in"), CONFIG, "--data", media=VIDEOS)
    assert [source.path for source in corpus.sources] == ["a.npy#0"]
    assert not marker.exists()
