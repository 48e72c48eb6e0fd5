import json
import re
import sys
import types
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources import registry
from data_prep.sources.corpus import Corpus
from data_prep.sources.folder import corpus_name
from data_prep.sources.layouts import list_corpus
from data_prep.sources.media import IMAGES
from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row


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


@pytest.mark.parametrize(
    ("name", "content", "layout"),
    [
        ("labels/train.json", '{"id": 1}', "ssv2"),
        ("labels/train.json", "[{", "ssv2"),
        ("train.csv", "label,youtube_id\nrun,abc\n", "kinetics"),
    ],
)
def test_a_broken_official_list_is_named(
    tmp_path: Path, name: str, content: str, layout: str
) -> None:
    write(tmp_path, {name: content, "a.mp4": ""})
    with pytest.raises(InputError, match=rf"{name}: not a list of the {layout} layout \("):
        listed(tmp_path)


def test_a_layout_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, {"a.mp4": "", "train.csv": "file\na.mp4\n"})
    for layout in registry.OFFICIAL:
        with pytest.raises(InputError, match=f"no list of the {layout} layout; give --layout"):
            listed(tmp_path, layout)


def test_every_official_layout_is_registered_under_its_name() -> None:
    folder = Path(registry.__file__).parent
    defined = {p.stem for p in folder.glob("*.py") if "LAYOUT = OfficialLayout" in p.read_text()}
    assert {module.rpartition(".")[2] for module in registry.OFFICIAL.values()} == defined
    assert all(registry.official_layout(name).name == name for name in registry.OFFICIAL)


def test_a_new_layout_is_a_module_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(text: str) -> list[Row]:
        return [Row(name, label="any") for name in text.split()]

    module = types.ModuleType("mine")
    module.LAYOUT = OfficialLayout("mine", re.compile(r"(train|test)\.mine$"), read)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setitem(registry.OFFICIAL, "mine", "mine")
    files = {f"{name}.mp4": "" for name in "abcdefg"}
    write(tmp_path, files | {"train.mine": "a b c d e", "test.mine": "g"})
    corpus = listed(tmp_path)
    assert splits(corpus) == {
        **dict.fromkeys(("a.mp4", "b.mp4", "c.mp4", "d.mp4"), "train"),
        "e.mp4": "validation",
        "g.mp4": "test",
    }
    assert {source.label for source in corpus.sources} == {"any"}


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
    names = ("v/a/1.mp4", "v/a/2.mp4", "v/b/3.mp4", "v/b/4.mp4")
    write(tmp_path, dict.fromkeys(names, ""))
    lines = [json.dumps({"path": f"{tmp_path}/{name}"}) for name in names]
    corpus = listed(write(tmp_path, {"l.jsonl": "\n".join(lines)}) / "l.jsonl")
    assert (corpus.root, corpus.sources[0].path) == (f"{tmp_path}/v", "a/1.mp4")
    assert set(splits(corpus).values()) == {"train", "validation", "test"}
    lines = [json.dumps({"path": f"s3://bucket/v/{n}.mp4", "split": "train"}) for n in (1, 2)]
    corpus = listed(write(tmp_path, {"u.jsonl": "\n".join(lines)}) / "u.jsonl")
    assert corpus.location(corpus.sources[0]) == "s3://bucket/v/1.mp4"


def test_a_folder_of_images_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.png": "" for i in range(5)})
    assert list_corpus(str(tmp_path), ImagesConfig(), "--data").media == IMAGES


def test_paths_that_share_nothing_but_the_root_are_named_from_it(tmp_path: Path) -> None:
    write(tmp_path, {"a.mp4": ""})
    shared = Path("/usr/bin/env")
    lines = f"path\n{tmp_path}/a.mp4\n{shared}\n"
    corpus = listed(write(tmp_path, {"l.csv": lines}) / "l.csv")
    assert corpus.root == "/"
    assert sorted(corpus.location(source) for source in corpus.sources) == sorted(
        [f"{tmp_path}/a.mp4", str(shared)]
    )


def test_listed_files_that_are_gone_are_recorded(tmp_path: Path) -> None:
    write(tmp_path, {"a.mp4": "", "l.csv": "path\na.mp4\ngone.mp4\n"})
    corpus = listed(tmp_path / "l.csv")
    assert [source.path for source in corpus.sources] == ["a.mp4"]
    assert corpus.rejected == [{"source": "gone.mp4", "reason": "no such file"}]


def test_a_list_of_images_is_recognised_whatever_wrote_it(tmp_path: Path) -> None:
    write(tmp_path, {"a.bmp": "", "b.PNG": ""})
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbfpath\r\na.bmp\r\nb.PNG\r\n")
    corpus = listed(tmp_path / "l.csv")
    assert corpus.media == IMAGES
    assert {source.path for source in corpus.sources} == {"a.bmp", "b.PNG"}


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    write(tmp_path, {f"far/{i}.mp4": "" for i in range(3)} | {"near/x.mp4": ""})
    (tmp_path / "near" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "near" / "loop").symlink_to(tmp_path / "near")
    found = {source.path for source in listed(tmp_path / "near").sources}
    assert found == {"x.mp4", *(f"linked/{i}.mp4" for i in range(3))}


def test_names_that_are_no_utf8_are_recorded(tmp_path: Path) -> None:
    write(tmp_path, {f"{i}.mp4": "" for i in range(3)})
    (tmp_path / "bad\udce9.mp4").write_bytes(b"")
    corpus = listed(tmp_path)
    assert len(corpus.sources) == 3
    assert corpus.rejected == [{"source": "bad?.mp4", "reason": "its name is not UTF-8"}]


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
        ("path\nc.mp4\nd.mp4\n", "none of the 2 files that it lists is there"),
        ("path\nhttp://a/x.mp4\nhttps://b/y.mp4\n", "do not share a protocol and a host"),
        ("path\n" + "x" * 200_000 + "\n", "field larger than field limit"),
    ],
)
def test_a_wrong_list_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        listed(write(tmp_path, {"l.csv": content}) / "l.csv")


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    content = '{"path": "a.mp4"}\n{"path": \n'
    with pytest.raises(InputError, match=r"l\.jsonl:2: not valid JSON"):
        listed(write(tmp_path, {"l.jsonl": content}) / "l.jsonl")
    with pytest.raises(InputError, match=r"l\.jsonl:1: not an object with a path"):
        listed(write(tmp_path, {"l.jsonl": '"a.mp4"\n'}) / "l.jsonl")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("bsds500/train", "bsds500 train"),
        ("ucf101/Val_videos", "ucf101 Val_videos"),
        ("my clips", "my clips"),
        ("training of dogs", "training of dogs"),
        ("dogs/.", "dogs"),
    ],
)
def test_a_folder_named_after_a_split_is_called_by_the_one_above_too(
    folder: str, name: str, tmp_path: Path
) -> None:
    assert corpus_name(tmp_path / folder) == name
