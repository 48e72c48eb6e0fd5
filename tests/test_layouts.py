import json
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.corpus import IMAGES, Corpus
from data_prep.errors import InputError
from data_prep.layouts import list_corpus


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def listed(location: Path, layout: str = "auto") -> Corpus:
    return list_corpus(str(location), CorpusConfig(), "--data", layout)


def splits(corpus: Corpus) -> dict[str, str]:
    return {source.path: source.split for source in corpus.sources}


@pytest.mark.parametrize("labels", ["", "labels/"])
def test_something_something_v2(tmp_path: Path, labels: str) -> None:
    prefix = labels or "something-something-v2-"
    videos = {f"20bn-something-something-v2/{n}.webm": "" for n in (1, 2, 3, 4)}
    lists = {
        f"{prefix}train.json": [
            {"id": "1", "label": "pushing a cup", "template": "Pushing [something]"},
            {"id": "9", "label": "gone", "template": "Gone"},
        ],
        f"{prefix}validation.json": [{"id": "2", "label": "x", "template": "Lifting [something]"}],
        f"{prefix}test.json": [{"id": "3"}],
    }
    files = videos | {name: json.dumps(content) for name, content in lists.items()}
    corpus = listed(write(tmp_path, files))
    assert [(s.path.split("/")[1], s.split, s.label) for s in corpus.sources] == [
        ("1.webm", "train", "Pushing something"),
        ("2.webm", "validation", "Lifting something"),
        ("3.webm", "test", None),
    ]
    assert corpus.rejected == [{"source": "9", "reason": "listed, but not in the folder"}]


def test_kinetics_clips_of_one_recording_stay_in_one_split(tmp_path: Path) -> None:
    head = "label,youtube_id,time_start,time_end,split\n"
    files = {
        "annotations/train.csv": head + "dancing,a-_1,1,11,train\nrunning,bbb,0,10,train\n",
        "annotations/val.csv": head + "dancing,a-_1,30,40,val\n",
        "annotations/test.csv": head + "dancing,ccc,5,15,test\n",
        "train/dancing/a-_1_000001_000011.mp4": "",
        "train/running/bbb_000000_000010.mp4": "",
        "val/a-_1_000030_000040.mp4": "",
        "test/ccc_000005_000015.mp4": "",
    }
    corpus = listed(write(tmp_path, files))
    assert splits(corpus) == {
        "train/running/bbb_000000_000010.mp4": "train",
        "val/a-_1_000030_000040.mp4": "validation",
        "test/ccc_000005_000015.mp4": "test",
    }
    assert corpus.rejected == [
        {
            "source": "train/dancing/a-_1_000001_000011.mp4",
            "reason": "its recording a-_1 is in the validation split",
        }
    ]


def test_ucf101_takes_the_first_official_split_and_keeps_groups(tmp_path: Path) -> None:
    clips = [f"v_Knit_g{g:02d}_c{c:02d}" for g in range(1, 11) for c in (1, 2)]
    train = "".join(f"Knit/{clip}.avi 1\n" for clip in clips[4:])
    test = "".join(f"Knit/{clip}.avi\n" for clip in clips[:4])
    files = {f"UCF-101/Knit/{clip}.avi": "" for clip in clips} | {
        "ucfTrainTestlist/trainlist01.txt": train,
        "ucfTrainTestlist/testlist01.txt": test,
        "ucfTrainTestlist/trainlist02.txt": test,
    }
    corpus = listed(write(tmp_path, files))
    by_split: dict[str, set[str]] = {}
    for source in corpus.sources:
        by_split.setdefault(source.split, set()).add(source.group.rsplit("_", 1)[1])
        assert source.label == "Knit"
    assert by_split["test"] == {"g01", "g02"}
    assert by_split["validation"] == {"g09", "g10"}
    assert len(by_split["train"]) == 6


def test_a_csv_list_may_name_files_anywhere(tmp_path: Path) -> None:
    write(tmp_path, {"a/x.mp4": "", "a/b/y é.mp4": "", "z.mp4": ""})
    content = "path,split,label,group\na/x.mp4,train,run,g1\na/b/y é.mp4,val,,g2\nz.mp4,test,,\n"
    corpus = listed(write(tmp_path, {"mine.csv": content}) / "mine.csv")
    assert corpus.root == str(tmp_path)
    assert [(s.path, s.split, s.label, s.group) for s in corpus.sources] == [
        ("a/b/y é.mp4", "validation", None, "g2"),
        ("a/x.mp4", "train", "run", "g1"),
        ("z.mp4", "test", None, "z"),
    ]


def test_absolute_paths_and_urls_are_named_from_what_they_share(tmp_path: Path) -> None:
    lines = [json.dumps({"path": f"/data/v/{name}.mp4"}) for name in ("a/1", "a/2", "b/3", "b/4")]
    corpus = listed(write(tmp_path, {"l.jsonl": "\n".join(lines)}) / "l.jsonl")
    assert (corpus.root, corpus.sources[0].path) == ("/data/v", "a/1.mp4")
    assert set(splits(corpus).values()) == {"train", "validation", "test"}
    lines = [json.dumps({"path": f"s3://bucket/v/{n}.mp4", "split": "train"}) for n in (1, 2)]
    corpus = listed(write(tmp_path, {"u.jsonl": "\n".join(lines)}) / "u.jsonl")
    assert corpus.location(corpus.sources[0]) == "s3://bucket/v/1.mp4"


def test_a_folder_of_images_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.png": "" for i in range(5)})
    assert list_corpus(str(tmp_path), ImagesConfig(), "--data").media == IMAGES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,split\na.mp4,train\n", "no column path in the first line"),
        ("path,split\na.mp4,trian\n", r"l.csv:2: split 'trian' is none of"),
        ("path,split\na.mp4,train\nb.mp4,\n", "1 of 2 files have a split; give all or none"),
        ("path,split\na.mp4,train\na.mp4,test\n", r"l.csv:3: 'a.mp4' is listed twice"),
        ("path,split,group\na.mp4,train,g\nb.mp4,test,g\n", r"l.csv:3: group 'g' is in train and"),
        ("path\n/x/a.mp4\nb.mp4\n", "either relative paths or absolute ones"),
        ("path\npipe:rm a.mp4\n", "pipe: runs a command"),
        ("path\n", "lists no file"),
    ],
)
def test_a_wrong_list_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        listed(write(tmp_path, {"l.csv": content}) / "l.csv")


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    content = '{"path": "a.mp4"}\n{"path": \n'
    with pytest.raises(InputError, match=r"l\.jsonl:2: not valid JSON"):
        listed(write(tmp_path, {"l.jsonl": content}) / "l.jsonl")
