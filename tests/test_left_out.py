"""What a corpus leaves out is counted and named; a damaged file gives way to a whole one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.config import BouncingBallsConfig, CorpusConfig
from data_prep.frames import prepare_frames
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.sources.files import LeftOut, find_files
from data_prep.sources.layouts import list_corpus, list_test_sources
from data_prep.sources.media import IMAGES
from data_prep.synthetic.bouncing_balls import render_bouncing_balls, write_video

OPTIONS = ["--frames", "3", "--size", "16", "--workers", "1"]
HEAD = "label,youtube_id,time_start,time_end\n"


def place(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def described(root: Path) -> str:
    return list_corpus(str(root), CorpusConfig(), "--data").describe()[-1]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "whole.mp4"
    config = BouncingBallsConfig(seconds=1.0, size=32)
    write_video(path, render_bouncing_balls(np.random.default_rng(0), config), config.fps)
    return path


@pytest.mark.parametrize(
    "folder",
    [".ipynb_checkpoints", "@eaDir", ".thumbnails", "__MACOSX", "$RECYCLE.BIN", ".Trash-1000"],
)
def test_hidden_and_system_folders_are_skipped_and_named(tmp_path: Path, folder: str) -> None:
    place(tmp_path, "a.mp4", "b.mp4", f"x/{folder}/deep/a-copy.mp4", "x/._c.mp4")
    corpus = list_corpus(str(tmp_path), CorpusConfig(), "--data")
    assert [source.path for source in corpus.sources] == ["a.mp4", "b.mp4"]
    assert f"1 hidden or system folders (x/{folder})" in described(tmp_path)
    assert "1 hidden files (x/._c.mp4)" in described(tmp_path)


def test_hidden_folders_behind_a_url_are_skipped_too(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", ".hidden/b.mp4", ".hidden/c.mp4", "x/@eaDir/d.mp4", ".e.mp4")
    left_out = LeftOut()
    assert find_files(f"file://{tmp_path}", "--data", left_out) == ["a.mp4"]
    assert str(left_out) == (
        "2 hidden or system folders (.hidden, x/@eaDir); 1 hidden files (.e.mp4)"
    )


def test_a_test_set_skips_them_too(tmp_path: Path) -> None:
    place(tmp_path, "a.png", ".ipynb_checkpoints/a-checkpoint.png", "notes.txt")
    (tmp_path / "again.png").symlink_to("a.png")
    corpus = list_test_sources(tmp_path, IMAGES, "--test x")
    assert [source.path for source in corpus.sources] == ["a.png"]
    assert "again.png" in corpus.describe()[1]
    assert "notes.txt" in corpus.describe()[1]


def test_what_is_no_source_is_counted_and_named_in_one_line(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", "b.mp4", "c.xyz", "d.XYZ", "e.xyz", "f.xyz", "noend", "a.truth.json")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "bad\udce9\n.xyz").write_bytes(b"")
    line = described(tmp_path)
    assert line.count("\n") == 0
    assert "4 .xyz (c.xyz, d.XYZ, e.xyz, ...)" in line
    assert "2 links to nothing (gone.mp4, loop.mp4)" in line
    assert "1 without a suffix (noend)" in line
    assert "truth" not in line
    (tmp_path / "split.csv").write_text("name,split\na.mp4,train\n")
    assert "1 in no list (b.mp4)" in described(tmp_path)


def test_the_line_stays_short_whatever_lies_in_the_folder(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", *(f"{i}{j}.kind{i:02d}" for i in range(50) for j in range(5)))
    line = described(tmp_path)
    assert len(line) < 500
    assert line.endswith("210 of other kinds")


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "split.csv").write_text("name,split\na.mp4,train\nb.mp4,test\n")
    assert described(tmp_path).startswith("splits by the list split.csv")


def test_preparation_says_what_decided_and_what_is_left_out(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train/a.mp4", "train/b.mp4", "val/c.mp4", "test/d.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, tmp_path / "in" / name)
    place(tmp_path / "in", "train/notes.txt", ".thumbnails/a.mp4")
    assert main(["shards", str(tmp_path / "in"), str(tmp_path / "out"), *OPTIONS]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "splits by the folders test, train, val: train 2, validation 1, test 1 videos",
        "left out: 1 hidden or system folders (.thumbnails); 1 .txt (train/notes.txt)",
    ]
    config = CorpusConfig(frames=3, size=16)
    prepare_frames(tmp_path / "in", tmp_path / "cache", config)
    assert capsys.readouterr().err.splitlines()[:2] == said[:2]


def test_images_are_described_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for index in range(5):
        picture = np.full((16, 16, 3), 20 * index, dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / f"{index}.png")
    line = ["shards", str(tmp_path / "in"), str(tmp_path / "out"), "--images.size", "8"]
    assert main([*line, "--workers", "1"]) == 0
    assert capsys.readouterr().out.count("splits by dealing groups by their names") == 1


def test_rejected_files_are_counted_among_all_that_are_listed(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(video, tmp_path / "a.mp4")
    place(tmp_path, "broken.mp4")
    gone = "".join(f"gone{i}.mp4\n" for i in range(6))
    (tmp_path / "l.csv").write_text(f"path\na.mp4\nbroken.mp4\n{gone}")
    assert main(["shards", str(tmp_path / "l.csv"), str(tmp_path / "out"), *OPTIONS]) == 0
    assert "7 of 8 files rejected" in capsys.readouterr().out
    (tmp_path / "l.csv").write_text(f"path\nbroken.mp4\n{gone}")
    assert main(["shards", str(tmp_path / "l.csv"), str(tmp_path / "none"), *OPTIONS]) == 2
    assert "nothing readable in 7 files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("whole", "damaged", "tail"),
    [
        ("replacement_for_corrupted_k400", "train", 0),
        ("replacement_for_corrupted_k400", "train", 100_000),
        ("train", "zz", 0),
        ("train", "a", 100_000),  # what is larger is tried first
    ],
)
def test_of_two_files_of_a_name_the_whole_one_is_used(
    video: Path, tmp_path: Path, whole: str, damaged: str, tail: int
) -> None:
    """And the set is the same when it is made again."""
    name, root = "id_000000_000010.mp4", tmp_path / "in"
    place(root, f"{damaged}/{name}")
    (root / damaged / name).write_bytes(video.read_bytes()[:200] + bytes(tail))
    (root / whole).mkdir()
    shutil.copy(video, root / whole / name)
    (root / "train.csv").write_text(HEAD + "run,id,0,10\n")
    line = ["shards", str(root), str(tmp_path / "out"), *OPTIONS, "--validation-fraction", ".1"]
    assert main(line) == 0
    made = ShardSet(tmp_path / "out")
    assert {sample.source for sample in made.samples("train")} == {f"{whole}/{name}"}
    tried = [entry["source"] for entry in made.manifest["rejected"]]
    assert tried == ([f"{damaged}/{name}"] if damaged == "a" else [])
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert main(line) == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert main(["verify", str(tmp_path / "out"), "--repair"]) == 0


def test_of_two_whole_files_of_a_name_one_is_used_and_the_other_named(
    video: Path, tmp_path: Path
) -> None:
    for suffix in ("mp4", "mkv"):
        shutil.copy(video, tmp_path / f"id_000000_000010.{suffix}")
    (tmp_path / "train.csv").write_text(HEAD + "run,id,0,10\n")
    corpus = list_corpus(str(tmp_path), CorpusConfig(), "--data")
    assert len(corpus.sources) == 1
    assert "1 in reserve for another file of their name (id_000000" in corpus.describe()[1]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a.png", "b.gif"], "image"),
        (["a.gif", "b.gif"], "video"),
        (["a.png", "b.gif", "c.mp4"], "video"),
    ],
)
def test_a_gif_among_images_makes_no_video_corpus(
    tmp_path: Path, names: list[str], kind: str
) -> None:
    root = place(tmp_path / "corpus", *names, *(f"more{n}.{names[0][-3:]}" for n in range(8)))
    assert list_corpus(str(root), CorpusConfig(), "--data").media.noun == kind
