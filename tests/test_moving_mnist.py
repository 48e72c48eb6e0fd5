import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli.command_line import main
from data_prep.config import MovingMNISTConfig
from data_prep.errors import InputError
from data_prep.synthetic.moving_mnist import read_digits, sequence, write_moving_mnist


def write_digits(path: Path, count: int = 40, side: int = 28) -> Path:
    """An idx file of discs of all kinds of brightness."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    disc = rows**2 + columns**2 < (side // 3) ** 2
    digits = disc * np.linspace(100, 255, count).astype(np.uint8)[:, None, None]
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4) for n in (count, side, side))
    content = header + digits.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def places(frames: np.ndarray) -> np.ndarray:
    """The upper left corner `[T, 2]` of the only digit, which fills its square."""
    return np.array(
        [[np.flatnonzero(frame.any(1 - axis))[0] for axis in (0, 1)] for frame in frames]
    )


def test_a_digit_moves_straight_and_bounces_inside_the_frame() -> None:
    config = MovingMNISTConfig(frames=60, count=1)
    square = np.full((1, 28, 28), 200, np.uint8)
    for seed in range(20):
        frames = sequence(square, config, np.random.default_rng(seed))
        assert (frames > 0).sum((1, 2)).tolist() == [28 * 28] * 60  # whole: never outside
        assert frames.any((1, 2)).all()
        path = places(frames)
        assert path.min() >= 0
        assert path.max() <= 36
        steps = np.diff(path, axis=0)
        still = ~(np.abs(steps) > 0).any(1)  # a bounce of both axes at once at most
        assert still.mean() <= 0.05
        assert np.abs(steps).max() <= 0.1 * 36 + 1
        inside = ((path > 0) & (path < 36)).all(1)
        free = inside[:-2] & inside[1:-1] & inside[2:]
        assert (np.abs(np.diff(steps, axis=0))[free] <= 1).all()  # straight but for rounding
        for axis in (0, 1):  # mirrored at the edge, where it stays for a frame at most
            moved = steps[:, axis][np.abs(steps[:, axis]) > 0]
            speeds = np.abs(moved[(moved[:-1] * moved[1:] > 0).nonzero()[0]])
            assert len(speeds) == 0 or speeds.max() - np.median(speeds) <= 1


def test_no_frame_of_a_sequence_of_two_digits_is_repeated(tmp_path: Path) -> None:
    digits = read_digits(str(write_digits(tmp_path / "digits")))
    for seed in range(30):
        frames = sequence(digits, MovingMNISTConfig(), np.random.default_rng(seed)).astype(int)
        assert frames.shape == (20, 64, 64)
        assert np.abs(np.diff(frames, axis=0)).any((1, 2)).all()


def test_the_brighter_digit_shows_and_the_seed_decides() -> None:
    config = MovingMNISTConfig(frames=5, size=32, count=8)
    digits = np.stack([np.full((28, 28), value, np.uint8) for value in (50, 200)])
    frames = sequence(digits, config, np.random.default_rng(0))
    assert set(np.unique(frames[:, 10:20, 10:20])) == {200}
    again = sequence(digits, config, np.random.default_rng(0))
    assert np.array_equal(frames, again)


def test_splits_have_digits_of_their_own(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits.gz")
    config = MovingMNISTConfig(str(digits), train=20, validation=5, test=6, frames=4, size=32)
    folder = write_moving_mnist(tmp_path / "corpus", config)
    seen = {}
    for split, count in (("train", 20), ("validation", 5), ("test", 6)):
        sequences = np.load(folder / split / "sequences.npy")
        assert sequences.shape == (count, 4, 32, 32)
        assert sequences.dtype == np.uint8
        seen[split] = set(np.unique(sequences)) - {0}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    before = (folder / "train/sequences.npy").stat().st_mtime_ns
    write_moving_mnist(folder, config)
    assert (folder / "train/sequences.npy").stat().st_mtime_ns == before


def test_official_sequences_are_tested_on_as_they_are(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits")
    official = np.random.default_rng(0).integers(0, 256, (4, 9, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", official)
    config = MovingMNISTConfig(
        str(digits), str(tmp_path / "mnist_test_seq.npy"), 4, 2, 7, frames=4, size=32
    )
    folder = write_moving_mnist(tmp_path / "corpus", config)
    tested = np.load(folder / "test/sequences.npy")
    assert np.array_equal(tested, official.transpose(1, 0, 2, 3)[:7])
    np.save(tmp_path / "mnist_test_seq.npy", official.transpose(1, 0, 2, 3))
    with pytest.raises(InputError, match="frames first"):
        write_moving_mnist(tmp_path / "other", config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"\x00\x00\x08\x01" + bytes(20), "no idx file of images; labels are not needed"),
        (
            b"\x00\x00\x08\x03" + bytes([0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1]) + bytes(4),
            "4 images; at least 20",
        ),
        (
            b"\x00\x00\x08\x03" + bytes([0, 0, 0, 20, 0, 0, 0, 70, 0, 0, 0, 70]) + bytes(98000),
            "digits of 70x70 pixels do not fit",
        ),
        (b"\x00\x00\x08\x03" + bytes([0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2]), "are not 9 images"),
    ],
)
def test_what_is_no_file_of_digits_is_said_at_once(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "digits"
    if content is not None:
        file.write_bytes(content)
    line = ["--task", "next_frame", "--preset", "moving_mnist", "--out", str(tmp_path / "out")]
    line += ["--moving_mnist.digits", str(file), "--cache-dir", str(tmp_path)]
    assert main(line) == 2
    assert message in capsys.readouterr().err


def test_real_digits_are_read(real_data: Path) -> None:
    digits = read_digits(str(real_data / "mnist/t10k-images-idx3-ubyte.gz"))
    assert digits.shape == (10_000, 28, 28)
    assert 30 < digits.mean() < 36


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Floors on sequences of the protocol's length."""
    folder = tmp_path_factory.mktemp("moving")
    digits = write_digits(folder / "digits")
    line = ["--task", "next_frame", "--preset", "moving_mnist", "--models", "copy_last,mean_frame"]
    line += ["--moving_mnist.digits", str(digits)]
    line += ["--moving_mnist.train", "4", "--moving_mnist.validation", "2"]
    line += ["--moving_mnist.test", "5", "--encoder.frequencies", "null"]
    line += ["--cache-dir", str(folder / "cache"), "--out", str(folder / "out")]
    assert main(line) == 0
    return folder


def test_errors_are_sums_over_a_frame_as_the_field_has_them(judged: Path) -> None:
    result = json.loads((judged / "out/results.json").read_text())
    (array,) = (judged / "cache").rglob("test/sequences.npy")
    sequences = np.load(array) / 255  # [N, T, height, width]
    error = sequences[:, 10:] - sequences[:, 9:10]
    expected = {
        "frame_mse": float((error**2).mean((0, 1)).sum()),  # as OpenSTL has it
        "frame_mae": float(np.abs(error).mean((0, 1)).sum()),
    }
    (row,) = (
        row
        for model in result["models"]
        for row in model["rows"]
        if model["name"] == "copy_last" and row["condition"]["protocol"] == "rollout"
    )
    for name, value in expected.items():
        assert row["metrics"][name]["mean"] == pytest.approx(value, rel=1e-3)
        assert row["metrics"][name]["higher_is_better"] is False
    assert result["data"]["corpus"] == "moving_mnist"


def test_quoted_rows_of_other_sequences_say_so(judged: Path) -> None:
    report = (judged / "out/report.md").read_text()
    assert "| TAU, quoted | 15.69 | 51.46 | 0.9661 | 2000 epochs |" in report
    assert "**other sequences**" in report
    assert "| Copy of the last frame |" in report
