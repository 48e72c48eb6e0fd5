"""Lists of clips as the usual downloaders write them decide the splits of their folder."""

import json
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import Corpus
from data_prep.sources.layouts import list_corpus

SIX = [f"{i}.mp4" for i in range(6)]


def place(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def listed(location: Path) -> Corpus:
    return list_corpus(str(location), CorpusConfig(), "--data")


def splits(corpus: Corpus) -> dict[str, str]:
    return {source.path: source.split for source in corpus.sources}


VIDEO_LISTS = (("train", range(3)), ("val", range(3, 5)), ("test", range(5, 6)))


@pytest.mark.parametrize("name", ["{}", "kinetics400_{}", "k700-2020_{}", "annotations/{}"])
@pytest.mark.parametrize("file", ["{}", "{}_000004_000014"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_lists_of_kinetics_are_recognised(
    tmp_path: Path, name: str, file: str, indent: int | None
) -> None:
    clips = [f"clips/{file.format(f'-id{i}')}.mp4" for i in range(6)]
    place(tmp_path, *clips, f"{name.format('train')}.json")
    for split, numbers in VIDEO_LISTS:
        content = {
            f"-id{i}": {
                "annotations": {"label": f"run {i}", "segment": [4.0, 14.0]},
                "duration": 10.0,
                "subset": {"val": "validate"}.get(split, split),
                "url": f"https://www.youtube.com/watch?v=-id{i}",
            }
            for i in numbers
        }
        (tmp_path / f"{name.format(split)}.json").write_text(json.dumps(content, indent=indent))
    corpus = listed(tmp_path)
    of_split = dict.fromkeys(range(3), "train") | {3: "validation", 4: "validation", 5: "test"}
    assert splits(corpus) == {clips[i]: split for i, split in of_split.items()}
    assert [(s.group, s.label) for s in corpus.sources] == [
        (f"-id{i}", f"run {i}") for i in of_split
    ]
    assert not corpus.rejected
    assert len(corpus.describe()) == 1


def test_a_clip_in_lists_of_two_kinds_is_one(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", "b_000000_000010.mp4")
    rows = "run,a,0,10\nrun,b,0,10\nrun,gone,0,10\n"
    (tmp_path / "train.csv").write_text("label,youtube_id,time_start,time_end\n" + rows)
    known = {"annotations": {"label": "run", "segment": [0, 10]}, "subset": "train"}
    (tmp_path / "train.json").write_text(json.dumps(dict.fromkeys(("a", "b", "gone"), known)))
    corpus = listed(tmp_path)
    assert splits(corpus) == {"a.mp4": "train", "b_000000_000010.mp4": "train"}
    assert corpus.rejected == [
        {"source": "gone_000000_000010", "reason": "listed, but not in the folder"}
    ]


@pytest.mark.parametrize(
    "content",
    ['{"database": {"x": {"annotations": [], "subset": "training"}}}', '{"annotations": []}', "{"],
)
def test_a_json_list_of_another_corpus_is_named(tmp_path: Path, content: str) -> None:
    place(tmp_path, *SIX)
    (tmp_path / "train.json").write_text(content)
    assert "(not read: train.json)" in listed(tmp_path).describe()[0]


def test_a_broken_json_list_of_kinetics_is_refused(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    (tmp_path / "train.json").write_text('{"a": {"annotations": {"segment": [0, 1')
    with pytest.raises(InputError, match=r"train.json: not a list of the kinetics layout"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "file"),
    [
        ("kinetics400_{}_list_videos.txt", "air drumming/-id{}_000000_000010.mp4 7", "videos_{}/"),
        ("annotations/sthv2_{}_list_videos.txt", "{}.webm 7", "videos/"),
        ("sthv2_{}_list_videos.txt", "data/sthv2/videos/{}.webm\t7", ""),
        ("ucf101_{}_split_1_videos.txt", "Knit/v_Knit_g0{}_c01.avi 7", "videos/"),
    ],
)
def test_lists_of_mmaction_are_recognised(tmp_path: Path, name: str, line: str, file: str) -> None:
    clips = {}
    for split, numbers in VIDEO_LISTS:
        lines = [line.format(i) for i in numbers]
        path = tmp_path / name.format(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([*lines, ""]))
        for entry in lines:
            listed_path = entry.replace("\t", " ").rpartition(" ")[0]
            clips[file.format(split) + listed_path.removeprefix("data/sthv2/")] = split
    place(tmp_path, *clips, "videos/unlisted.mp4")
    corpus = listed(tmp_path)
    assert splits(corpus) == {c: "validation" if s == "val" else s for c, s in clips.items()}
    assert {source.label for source in corpus.sources} == {"7"}
    rule, left_out = corpus.describe()
    assert rule.startswith("splits by the lists of mmaction (")
    assert left_out == "left out: 1 in no list (videos/unlisted.mp4)"


def test_lists_of_mmaction_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    place(tmp_path, "train/car/1.mp4", "train/dog/1.mp4", "val/car/1.mp4", "val/dog/1.mp4")
    (tmp_path / "x_train_list_videos.txt").write_text("car/1.mp4 0\ndog/1.mp4 1\ndog/2.mp4 1\n")
    (tmp_path / "x_val_list_videos.txt").write_text("car/1.mp4 0\n")
    corpus = listed(tmp_path)
    assert {(s.path, s.split, s.label) for s in corpus.sources} == {
        ("train/car/1.mp4", "train", "0"),
        ("train/dog/1.mp4", "train", "1"),
        ("val/car/1.mp4", "validation", "0"),
    }
    assert corpus.rejected == [{"source": "dog/2", "reason": "listed, but not in the folder"}]


def test_clips_of_one_recording_stay_in_one_split_of_mmaction(tmp_path: Path) -> None:
    place(tmp_path, "a/id_000000_000010.mp4", "a/id_000020_000030.mp4")
    (tmp_path / "k_train_list_videos.txt").write_text("a/id_000000_000010.mp4 0\n")
    (tmp_path / "k_val_list_videos.txt").write_text("a/id_000020_000030.mp4 0\n")
    assert splits(listed(tmp_path)) == {"a/id_000020_000030.mp4": "validation"}


def test_a_list_of_mmaction_without_videos_is_refused(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    (tmp_path / "k_train_list_videos.txt").write_text("0.mp4 1\nrawframes/x 300 1\n")
    with pytest.raises(InputError, match=r"not a list of the mmaction layout .*rawframes/x 300 1"):
        listed(tmp_path)


def test_a_tab_separated_list_of_kinetics_is_recognised(tmp_path: Path) -> None:
    place(tmp_path, "a_000000_000010.mp4", "b_000000_000010.mp4")
    head = "label\tyoutube_id\ttime_start\ttime_end\n"
    (tmp_path / "train.tsv").write_text(f"{head}run, fast\ta\t0\t10\n")
    (tmp_path / "test.tsv").write_text(f"{head}run\tb\t0\t10\n")
    assert list(splits(listed(tmp_path)).values()) == ["train", "test"]


def test_two_lists_of_the_splits_are_refused(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    for suffix in ("csv", "tsv"):
        (tmp_path / f"split.{suffix}").write_text("name,split\n0.mp4,train\n")
    with pytest.raises(InputError, match=r"split.csv and split.tsv name the splits; keep one"):
        listed(tmp_path)
