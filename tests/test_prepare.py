import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ending import Program
from PIL import Image

from data_prep.config import BouncingBallsConfig, CorpusConfig, ExecutorConfig
from data_prep.frames import make_frames
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.sources.layouts import list_corpus
from data_prep.synthetic.bouncing_balls import render_bouncing_balls, write_video

SMALL = ["--sources-per-shard", "4", "--size", "16", "--workers", "2"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 short videos, some of them broken, with names that try a shell."""
    folder = tmp_path_factory.mktemp("corpus") / "clips"
    folder.mkdir()
    config = BouncingBallsConfig(seconds=3.0, size=32)
    for index in range(24):
        frames = render_bouncing_balls(np.random.default_rng(index), config)
        write_video(folder / f"{index:02d} é; rm -rf $(x).mp4", frames, config.fps)
    (folder / "07 é; rm -rf $(x).mp4").write_bytes(b"")
    (folder / "19 é; rm -rf $(x).mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def made(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one undisturbed run makes of the videos; not to be changed."""
    out = tmp_path_factory.mktemp("unbroken") / "set"
    assert main(["shards", str(videos), str(out), *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def unbroken(made: Path) -> dict[str, bytes]:
    return contents(made)


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of the set, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "set"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "data_prep.prepare", *map(str, arguments)]


def test_every_source_is_in_the_set_or_rejected_with_a_reason(
    unbroken: dict[str, bytes], videos: Path
) -> None:
    rejected = [json.loads(line) for line in unbroken["rejected.jsonl"].splitlines()]
    assert {entry["source"][:2]: entry["reason"][:11] for entry in rejected} == {
        "07": "empty file",
        "19": "not a video",
    }
    manifest = json.loads(unbroken["manifest.json"])
    assert sum(manifest["samples"].values()) == 22
    assert str(videos) not in unbroken["manifest.json"].decode()
    names = [name for name in unbroken if name.endswith(".tar")]
    assert len(names) == 4 + 2 + 2
    assert all(name[:-4] + ".json" in unbroken for name in names)


def test_killed_anywhere_and_run_again_gives_the_same_bytes(
    videos: Path, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    moments, out, unfinished = random.Random(0), tmp_path / "set", 0
    for shards in (0, 0, 1, 2, 4, 6):  # finished when the run is killed, of 8
        process = subprocess.Popen(command("shards", videos, out, *SMALL), start_new_session=True)
        while process.poll() is None and not (out / "plan.json").exists():
            time.sleep(0.001)
        while process.poll() is None and len(list(out.glob("*-*.json"))) < shards:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        unfinished += not (out / "manifest.json").exists()
        if moments.random() < 0.5:
            # also lose the tail of what was written last, as a failing disk would
            last = max(out.glob("*.tar"), key=lambda path: path.stat().st_mtime_ns, default=None)
            if last is not None:
                os.truncate(last, last.stat().st_size // 2)
    assert unfinished >= 3
    assert main(["shards", str(videos), str(out), *SMALL]) == 0
    assert contents(out) == unbroken


STOPS = {
    "interrupted": ([signal.SIGINT], False, 130),
    "told": ([signal.SIGTERM], False, 143),
    "all told twice": ([signal.SIGTERM, signal.SIGTERM], True, 143),
    "killed": ([signal.SIGKILL], False, -signal.SIGKILL),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_leaves_nothing_behind_and_says_how_to_go_on(
    stop: str,
    videos: Path,
    unbroken: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers, group, code = STOPS[stop]
    out, scratch = tmp_path / "set", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    line = command("shards", videos, out, *SMALL)[1:]
    program = Program(line, tmp_path / "log")
    program.wait_for(lambda: list(out.glob(".*.partial")))
    program.signal(*numbers, group=group)
    assert program.ended() == code
    until = time.monotonic() + 15  # what a killed program leaves its decoder removes
    while list(scratch.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not list(scratch.iterdir())
    if stop != "killed":
        said = program.log.read_text().strip()
        assert said.splitlines()[-1] == "interrupted; run the same command again to go on"
        assert not list(out.glob(".*.partial"))
    assert main(["shards", str(videos), str(out), *SMALL]) == 0
    assert contents(out) == unbroken


def test_finished_shards_are_kept(videos: Path, unbroken: dict[str, bytes], copy: Path) -> None:
    out = copy
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / "train-000001.json").unlink()
    (out / "manifest.json").unlink()
    (out / f".train-000002.tar.{os.uname().nodename.split('.')[0]}.4194400.partial").touch()
    assert main(["shards", str(videos), str(out), *SMALL]) == 0
    assert contents(out) == unbroken
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"train-000001.tar", "train-000001.json", "manifest.json"}


def test_two_runs_at_once_into_one_folder_do_no_harm(
    videos: Path, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    line = command("shards", videos, tmp_path / "set", *SMALL)
    first, second = subprocess.Popen(line), subprocess.Popen(line)
    assert (first.wait(), second.wait()) == (0, 0)
    assert contents(tmp_path / "set") == unbroken


def test_jobs_that_share_the_work_give_the_same_bytes(
    videos: Path, unbroken: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    for index in (2, 0, 1):
        jobs = ["--num-jobs", "3", "--job-index", str(index)]
        assert main(["shards", str(videos), str(out), *SMALL, *jobs]) == 0
        assert (out / "manifest.json").exists() == (index == 1)
    assert "job 2 of 3 is done" in capsys.readouterr().out
    assert contents(out) == unbroken


@pytest.mark.slow
def test_a_full_disk_is_said_and_costs_nothing(
    videos: Path, unbroken: dict[str, bytes], tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the disk."""
    out = tmp_path / "set"
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000));"
    limited += "from data_prep.prepare import main; sys.exit(main(sys.argv[1:]))"
    line = [sys.executable, "-c", limited, "shards", str(videos), str(out), *SMALL]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.glob(".*.partial"))
    assert main(["shards", str(videos), str(out), *SMALL]) == 0
    assert contents(out) == unbroken


def test_a_folder_with_a_set_made_otherwise_is_refused(
    videos: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shards", str(videos), str(copy), *SMALL, "--frames", "5"]) == 2
    assert "holds a set made otherwise (different: frames)" in capsys.readouterr().err


def test_the_corpus_itself_is_no_place_for_its_set(
    videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(videos.iterdir())
    assert main(["shards", str(videos), str(videos)]) == 2
    assert "is the corpus itself" in capsys.readouterr().err
    assert sorted(videos.iterdir()) == before


def test_a_replaced_source_is_noticed(
    videos: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = shutil.copytree(videos, tmp_path / "corpus")
    assert main(["shards", str(corpus), str(copy), *SMALL]) == 0  # only its place has changed
    shutil.copy(corpus / "00 é; rm -rf $(x).mp4", corpus / "07 é; rm -rf $(x).mp4")
    assert main(["shards", str(corpus), str(copy), *SMALL]) == 2
    assert "holds a set made otherwise (different: sources)" in capsys.readouterr().err


def test_altered_frames_are_not_embedded(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = copy
    dct = ["--patch-size", "4", "--frequencies", "6"]
    altered = bytearray((frames / "train-000001.tar").read_bytes())
    altered[3000] ^= 1
    (frames / "train-000001.tar").write_bytes(altered)
    assert main(["embed", str(frames), str(tmp_path / "e"), *dct]) == 2
    assert "train-000001.tar: altered" in capsys.readouterr().err
    (frames / "train-000001.tar").unlink()
    assert main(["embed", str(frames), str(tmp_path / "e"), *dct]) == 2
    assert "train-000001.tar: missing" in capsys.readouterr().err


def test_images_have_options_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        picture = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{index}.png")
    line = ["shards", str(tmp_path / "pictures"), str(tmp_path / "set")]
    assert main([*line, "--size", "16"]) == 2
    assert "--size: for videos" in capsys.readouterr().err
    assert main([*line, "--images.size", "16", "--images.crops", "3"]) == 0
    assert ShardSet(tmp_path / "set").manifest["samples"]["train"] == 9
    assert main(["verify", str(tmp_path / "set"), "--repair"]) == 0


def test_embeddings_are_made_and_repaired_by_the_command(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, out = made, tmp_path / "embeddings"
    dct = ["--encoder", "dct", "--patch-size", "4", "--frequencies", "6"]
    assert main(["embed", str(frames), str(out), *dct]) == 0
    before = contents(out)
    assert ShardSet(out).manifest["encoder"]["dim"] == 18
    assert main(["embed", str(frames), str(tmp_path / "one"), *dct, "--workers", "1"]) == 0
    assert contents(tmp_path / "one") == before
    (out / "train-000001.tar").unlink()
    (out / "manifest.json").unlink()
    assert main(["verify", str(out)]) == 2
    assert main(["verify", str(out), "--repair"]) == 0
    assert contents(out) == before
    capsys.readouterr()
    assert main(["inspect", str(out)]) == 0
    assert "kind: embeddings" in capsys.readouterr().out
    assert main(["inspect", str(frames / "test-000000.tar")]) == 0
    assert "test-000000-000000: {'frames.npy'" in capsys.readouterr().out


def test_settings_come_from_yaml_too(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("frames: 4\nstride: 0.5\nsize: 16\nworkers: 1\n")
    config = ["--config", str(tmp_path / "mine.yaml"), "--frames", "5"]
    assert main(["shards", str(videos), str(tmp_path / "set"), *config]) == 0
    arguments = ShardSet(tmp_path / "set").manifest["arguments"]
    assert (arguments["frames"], arguments["stride"], arguments["size"]) == (5, 0.5, 16)
    # 2.875 s of frames hold 4 starts, 0.5 s apart, of clips that last 1 s
    assert sum(ShardSet(tmp_path / "set").manifest["samples"].values()) == 4 * 22


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shard"], "did you mean shards?"),
        (["shards", "/nowhere", "out"], "/nowhere: no such file or folder"),
        (["shards", "{videos}", "out", "--frams", "3"], "did you mean --frames?"),
        (["shards", "{videos}", "out", "--frames", "2"], "a clip needs at least 3 frames"),
        (["shards", "{videos}", "out", "--job-index", "3"], "jobs are counted from 0"),
        (["shards", "{videos}", "pipe:cat > x"], "pipe: runs a command"),
        (["shards", "pipe:cat x.csv", "out"], "pipe: runs a command"),
        (["shards", "simplecache::http://x/y.csv", "out"], "give a path or one plain URL"),
        (["embed", "{videos}", "out"], "no manifest.json, so this is no finished shard set"),
        (["embed", "{videos}", "out", "--encoder", "vea:x"], "give dct, timm:NAME, vae:"),
        (["verify", "{videos}", "--repair"], "no plan.json, so no set was begun here"),
        (["inspect", "{videos}"], "no manifest.json"),
        (["inspect", "pipe:echo"], "give --allow-pipe if you trust it"),
        (["inspect", "nowhere/a.tar"], "nowhere/a.tar: no such file"),
        (["inspect", "/etc/passwd"], "Not a directory"),
        (["shards", "{videos}", "out", "--splits", "nope.csv"], "splits nope.csv: no such file"),
        (["shards", "{videos}", "out", "--time-limit", ".inf"], "time_limit must be in"),
        (["verify", "{videos}", "--repair", "--num-jobs", "2"], "num_jobs"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str],
    message: str,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([argument.format(videos=videos) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_corpus_without_anything_readable_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video")
    assert main(["shards", str(tmp_path), str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.out.count("rejected ") == 2
    assert "nothing readable in 2 files" in told.err


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    for arguments in (["--help"], ["shards", "--help"], ["embed", "--help"]):
        code = (
            "import sys; from data_prep.prepare import main\n"
            f"try: main({arguments!r})\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'decord', 'av', 'webdataset', 'fsspec', 'timm'}\n"
            "print('HEAVY', sorted(heavy & set(sys.modules)))"
        )
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert "HEAVY []" in done.stdout
        assert "usage: python -m data_prep.prepare" in done.stdout


def test_shards_are_made_and_checked_without_torch(made: Path, tmp_path: Path) -> None:
    """Nor do the processes that decode or render import it."""
    code = (
        "import sys; from data_prep.prepare import main\n"
        f"assert main(['verify', {str(made)!r}, '--repair']) == 0\n"
        f"assert main(['shards', {str(tmp_path)!r}, {str(tmp_path / 'set')!r}, '--frames', '3',"
        " '--splits', 'split.csv']) == 0\n"
        "import data_prep.decoding.video, data_prep.decoding.images\n"
        "import data_prep.synthetic.bouncing_balls, data_prep.synthetic.dead_leaves\n"
        "print('HEAVY', sorted({'torch', 'webdataset', 'timm'} & set(sys.modules)))"
    )
    config = BouncingBallsConfig(seconds=1.0, size=32)
    write_video(tmp_path / "a.mp4", render_bouncing_balls(np.random.default_rng(0), config), 8)
    (tmp_path / "split.csv").write_text("name,split\na.mp4,train\n")
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.endswith("HEAVY []\n")


def test_a_lost_source_folder_loses_its_sources_only(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "path,split\n"
        + "".join(f'"{path}",train\n' for path in sorted(videos.iterdir())[:4])
        + f"{videos}/gone.mp4,train\n"
    )
    corpus = list_corpus(str(tmp_path / "list.csv"), CorpusConfig(), "list")
    made = make_frames(corpus, str(tmp_path / "out"), CorpusConfig(), ExecutorConfig())
    assert made is not None
    assert made.manifest["rejected"] == [{"source": "gone.mp4", "reason": "no such file"}]


def test_every_broken_file_is_dealt_with(real_data: Path, tmp_path: Path) -> None:
    """As the folder's README says, in one go."""
    options = ["--frames", "3", "--frame-interval", "0.03"]
    broken = real_data / "videos" / "broken"
    assert main(["shards", str(broken), str(tmp_path / "set"), *options]) == 0
    made = ShardSet(tmp_path / "set")
    rejected = {entry["source"]: entry["reason"] for entry in made.manifest["rejected"]}
    reasons = {
        "one_frame.mp4": "too short: 1 frames",
        "all_black_2s.mp4": "no motion",
        "unordered.mov": "no motion",
        "corrupted.mp4": "damaged: 28 of 50 frames",
        "truncated_index_at_front.mp4": "truncated: 47 of 100 frames",
        "truncated_index_at_end.mp4": "not a video, or damaged at the start",
        "zero_byte.mp4": "empty file",
        "text_renamed.mp4": "not a video",
        "audio_only.mp4": "no video stream",
    }
    assert rejected.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert rejected[name].startswith(reason)
    used = {s.source for split in ("train", "validation", "test") for s in made.samples(split)}
    assert used == {path.name for path in broken.glob("*.m[po][4v]")} - reasons.keys()
