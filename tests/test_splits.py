"""What names the splits of a corpus is read, refused or said; no test file is trained on."""

import json
import shutil
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import Corpus
from data_prep.sources.layouts import list_corpus

SIX = [f"{i}.mp4" for i in range(6)]
HALVES = dict.fromkeys(SIX[:3], "train") | dict.fromkeys(SIX[3:5], "test") | {"5.mp4": "validation"}


def place(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def listed(location: Path) -> Corpus:
    return list_corpus(str(location), CorpusConfig(), "--data")


def splits(corpus: Corpus) -> dict[str, str]:
    return {source.path: source.split for source in corpus.sources}


@pytest.mark.parametrize("name", ["list.csv", "split.csv", "list.tsv", "split.tsv"])
@pytest.mark.parametrize(
    ("separator", "head"),
    [
        (",", "name,split"),
        (", ", "path, split"),
        (",", " Path , Split "),
        (";", "path;split"),
        ("\t", "NAME\tSPLIT"),
    ],
)
@pytest.mark.parametrize(("start", "end"), [("", "\n"), ("\ufeff", "\r\n"), ("", "\r\n\r\n")])
def test_a_list_is_the_same_however_it_is_written(
    tmp_path: Path, name: str, separator: str, head: str, start: str, end: str
) -> None:
    place(tmp_path, *SIX)
    spelt = {"train": "Train", "test": "TESTING ", "validation": "Val"}
    lines = [f'"{file}"{separator}{spelt[split]}' for file, split in HALVES.items()]
    (tmp_path / name).write_bytes((start + end.join([head, *lines, ""])).encode())
    location = tmp_path if name.startswith("split.") else tmp_path / name
    corpus = listed(location)
    assert splits(corpus) == HALVES
    assert f"{name}: train 3, validation 1, test 2 videos" in corpus.describe()[0]


def test_a_json_list_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    rows = [{"Path": file, " Split": split.upper()} for file, split in HALVES.items()]
    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in rows)
    (tmp_path / "list.jsonl").write_text(text, encoding="utf-8")
    assert splits(listed(tmp_path / "list.jsonl")) == HALVES


def test_a_label_may_hold_any_sign(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    labels = [f"a{sign}b" for sign in "\u2028\u2029\x85\x0b\x0c\x1c"]
    rows = [{"path": file, "label": label} for file, label in zip(SIX, labels, strict=True)]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "list.jsonl").write_text(text, encoding="utf-8")
    corpus = listed(tmp_path / "list.jsonl")
    assert [source.label for source in corpus.sources] == labels


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "path,subset\n0.mp4,test\n", r"l.csv:1: column 'subset' is unknown; rename it"),
        ("l.csv", "path,split,fps\n0.mp4,test,8\n", r"column 'fps' is unknown"),
        ("l.csv", "path,name\n0.mp4,1.mp4\n", r"column path is there twice"),
        ("l.csv", "Split,split,path\ntest,train,0.mp4\n", r"column split is there twice"),
        ("l.csv", "path,\n0.mp4,test\n", r"l.csv:2: 'test' stands in no column"),
        ("l.csv", "path\n\n0.mp4,test\n", r"l.csv:3: 'test' stands in no column"),
        ("l.csv", "0.mp4,train\n", r"no column path in the first line \(0.mp4, train\)"),
        ("l.jsonl", '{"path": "0.mp4", "Subset": "x"}', r"l.jsonl:1: column 'subset' is unknown"),
        ("l.jsonl", '{"path": "0.mp4", "split": 0}', r"l.jsonl:1: split '0' is none of train"),
        ("split.csv", "name,subset\n0.mp4,test\n", r"no column split in the first line"),
        ("split.csv", "name,split,set\n0.mp4,test,x\n", r"split.csv:1: column 'set' is unknown"),
    ],
)
def test_what_may_name_a_split_is_refused_by_name(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    place(tmp_path, *SIX)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        listed(tmp_path if name == "split.csv" else tmp_path / name)


def test_a_list_that_is_no_utf8_says_so(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    (tmp_path / "l.csv").write_text("path\n0.mp4\n", encoding="utf-16")
    with pytest.raises(InputError, match="is not UTF-8; save it as UTF-8"):
        listed(tmp_path / "l.csv")


@pytest.mark.parametrize("list_name", ["l.csv", "split.csv"])
@pytest.mark.parametrize(
    "second", ["./v/a.mp4", "v//a.mp4", "v/./a.mp4", "v/linked.mp4", "w/a.mp4", "v/A.MP4"]
)
def test_one_file_by_two_names_is_listed_twice(tmp_path: Path, list_name: str, second: str) -> None:
    place(tmp_path, "v/a.mp4", "v/b.mp4")
    (tmp_path / "v/linked.mp4").symlink_to("a.mp4")
    (tmp_path / "w").symlink_to("v")
    shutil.copy(tmp_path / "v/a.mp4", tmp_path / "v/A.MP4")
    lines = f"path,split\nv/a.mp4,train\nv/b.mp4,validation\n{second},test\n"
    (tmp_path / list_name).write_text(lines)
    with pytest.raises(InputError, match=rf"{list_name}:4: '.*' is listed twice"):
        listed(tmp_path if list_name == "split.csv" else tmp_path / list_name)


def test_a_hard_link_is_the_same_file_and_another_file_is_not(tmp_path: Path) -> None:
    place(tmp_path, "a.mp4", "A.mp4")  # other bytes
    (tmp_path / "l.csv").write_text("path,split\na.mp4,train\nA.mp4,test\n")
    assert splits(listed(tmp_path / "l.csv")) == {"a.mp4": "train", "A.mp4": "test"}
    (tmp_path / "b.mp4").hardlink_to(tmp_path / "a.mp4")
    (tmp_path / "l.csv").write_text("path,split\na.mp4,train\nb.mp4,test\n")
    with pytest.raises(InputError, match=r"'b.mp4' is listed twice: it is the file 'a.mp4' of"):
        listed(tmp_path / "l.csv")


def test_a_recording_is_one_however_its_clips_are_spelt(tmp_path: Path) -> None:
    place(tmp_path, "v_Knit_g01_c01.avi", "v_Knit_g01_c02.avi")
    lines = "path,split\nv_Knit_g01_c01.avi,train\n./v_Knit_g01_c02.avi,test\n"
    (tmp_path / "l.csv").write_text(lines)
    with pytest.raises(InputError, match="group 'v_Knit_g01' is in train and in test"):
        listed(tmp_path / "l.csv")
    lines = "path,split,group\nv_Knit_g01_c01.avi,train,g\nv_Knit_g01_c02.avi,test, g \n"
    (tmp_path / "l.csv").write_text(lines)
    with pytest.raises(InputError, match="group 'g' is in train and in test"):
        listed(tmp_path / "l.csv")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("train2017", "val_256", "test-set"),
    ],
)
@pytest.mark.parametrize("inside", ["{}/a/x{}.mp4", "a/{}/x{}.mp4", "data/{}/x{}.mp4"])
def test_folders_named_after_splits_decide(
    tmp_path: Path, names: tuple[str, str, str], inside: str
) -> None:
    train, validation, test = names
    place(tmp_path, *(inside.format(train, i) for i in range(4)))
    place(tmp_path, inside.format(validation, 8), inside.format(test, 9), "else/y.mp4")
    corpus = listed(tmp_path)
    assert splits(corpus) == {
        **{inside.format(train, i): "train" for i in range(4)},
        inside.format(validation, 8): "validation",
        inside.format(test, 9): "test",
    }
    rule, left_out = corpus.describe()
    assert rule.endswith(": train 4, validation 1, test 1 videos")
    assert all(name in rule for name in names)
    assert left_out == "left out: 1 in no folder of a split (else/y.mp4)"


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_split_without_a_folder_is_held_out_of_training(tmp_path: Path, missing: str) -> None:
    given = "test" if missing == "validation" else "val"
    place(tmp_path, *(f"train/{i}.mp4" for i in range(10)), f"{given}/x.mp4", f"{given}/y.mp4")
    of_split: dict[str, set[str]] = {}
    for path, split in splits(listed(tmp_path)).items():
        of_split.setdefault(split, set()).add(path)
    assert of_split[missing] == {"train/8.mp4", "train/9.mp4"}
    assert {path for paths in of_split.values() for path in paths if path.startswith(given)} == (
        of_split["test" if given == "test" else "validation"]
    )


def test_folders_do_not_tear_recordings_nor_share_files(tmp_path: Path) -> None:
    clips = [f"train/Knit/v_Knit_g{g:02d}_c01.avi" for g in range(5)]
    place(tmp_path, *clips, "test/Knit/v_Knit_g00_c02.avi")
    (tmp_path / "train/linked.avi").symlink_to("../test/Knit/v_Knit_g00_c02.avi")
    corpus = listed(tmp_path)
    assert splits(corpus)["test/Knit/v_Knit_g00_c02.avi"] == "test"
    assert not {"train/linked.avi", clips[0]} & splits(corpus).keys()
    assert corpus.rejected[0]["source"] == clips[0]
    assert "further names of one file (train/linked.avi)" in corpus.describe()[1]


def test_one_folder_alone_does_not_decide_but_never_leaks(tmp_path: Path) -> None:
    whole = place(tmp_path / "whole", *(f"train/{i}.mp4" for i in range(5)), "car/a.mp4")
    assert listed(whole).describe()[0].startswith("splits by dealing groups by their names: train")
    leaking = place(tmp_path / "leaking", "test/a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(InputError, match=r"the folder test names a split, but 2 files lie in no"):
        listed(leaking)


def test_links_to_one_file_are_dealt_once(tmp_path: Path) -> None:
    place(tmp_path, *SIX)
    for name in SIX:
        (tmp_path / f"again-{name}").symlink_to(name)
    (tmp_path / "folder").symlink_to(".")
    corpus = listed(tmp_path)
    assert len(corpus.sources) == 6
    assert len({(tmp_path / source.path).resolve() for source in corpus.sources}) == 6


@pytest.mark.parametrize(
    "name",
    [
        "train.csv",
        "kinetics-400_train.csv",
        "k400_train.csv",
        "kinetics700_2020_train.csv",
        "annotations/K600-TRAIN.csv",
        "kinetics_train/kinetics_train.csv",
        "kinetics400_train_list.csv",
    ],
)
@pytest.mark.parametrize(
    "head", ["label,youtube_id,time_start,time_end", "Label, YouTube_ID, Time_Start, Time_End"]
)
def test_lists_of_kinetics_go_under_many_names(tmp_path: Path, name: str, head: str) -> None:
    clips = [f"clips/id{i}_000000_000010.mp4" for i in range(6)]
    place(tmp_path, *clips)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for split, numbers in (("train", range(3)), ("test", range(3, 6))):
        lines = [head, *(f"run,id{i},0,10" for i in numbers)]
        file = tmp_path / name.replace("train", split).replace("TRAIN", split.upper())
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(lines))
    corpus = listed(tmp_path)
    found = splits(corpus)
    assert {found[clip] for clip in clips[3:]} == {"test"}
    assert "test" not in {found[clip] for clip in clips[:3]}
    assert corpus.describe()[0].startswith("splits by the lists of kinetics (")


def test_one_list_of_kinetics_may_name_the_splits_in_a_column(tmp_path: Path) -> None:
    place(tmp_path, "a_000000_000010.mp4", "b_000000_000010.mp4", "c_000000_000010.mp4")
    head = "label,youtube_id,time_start,time_end,split\n"
    rows = "run,a,0,10,train\nrun,b,0,10,validate\nrun,c,0,10,test\n"
    (tmp_path / "kinetics400.csv").write_text(head + rows)
    assert list(splits(listed(tmp_path)).values()) == ["train", "validation", "test"]
    (tmp_path / "kinetics400.csv").write_text("label,youtube_id,time_start,time_end\nrun,a,0,10\n")
    with pytest.raises(InputError, match="neither its name nor a column split tells the split"):
        listed(tmp_path)


def test_a_clip_in_two_official_lists_is_not_trained_on(tmp_path: Path) -> None:
    place(tmp_path, "a_000000_000010.mp4", "b_000000_000010.mp4")
    head = "label,youtube_id,time_start,time_end\n"
    (tmp_path / "train.csv").write_text(head + "run,a,0,10\nrun,b,0,10\n")
    (tmp_path / "test.csv").write_text(head + "run,a,0,10\n")
    assert splits(listed(tmp_path))["a_000000_000010.mp4"] == "test"


@pytest.mark.parametrize("prefix", ["something_something_v2_", "sthv2_", "Something-Something-V2-"])
def test_lists_of_something_something_go_under_many_names(tmp_path: Path, prefix: str) -> None:
    place(tmp_path, "1.webm", "2.webm", "3.webm")
    for number, split in ((1, "train"), (2, "validation"), (3, "test")):
        (tmp_path / f"{prefix}{split}.json").write_text(json.dumps([{"id": str(number)}]))
    assert list(splits(listed(tmp_path)).values()) == ["train", "validation", "test"]


def test_given_splits_go_before_official_lists(tmp_path: Path) -> None:
    place(tmp_path, "a_000000_000010.mp4", "b_000000_000010.mp4")
    head = "label,youtube_id,time_start,time_end\n"
    (tmp_path / "train.csv").write_text(head + "run,a,0,10\nrun,b,0,10\n")
    own = tmp_path / "own.csv"
    own.write_text("name,split\na_000000_000010.mp4,test\nb_000000_000010.mp4,train\n")
    config = CorpusConfig(splits=str(own))
    corpus = list_corpus(str(tmp_path), config, "--data")
    assert splits(corpus)["a_000000_000010.mp4"] == "test"
    with pytest.raises(InputError, match="the kinetics layout has lists of its own"):
        list_corpus(str(tmp_path), config, "--data", "kinetics")


def test_a_list_that_no_rule_reads_is_named(tmp_path: Path) -> None:
    place(tmp_path, *SIX, "train_list.txt", "testlist02.txt")
    rule = listed(tmp_path).describe()[0]
    assert rule.startswith("splits by dealing groups by their names (not read: ")
    assert "train_list.txt" in rule


def test_the_lists_that_users_write(real_data: Path, tmp_path: Path) -> None:
    lists = real_data / "cases" / "lists"
    for name in ("space_after_comma.csv", "same_file_twice.csv"):
        shutil.copy(lists / name, tmp_path)
    text = (tmp_path / "space_after_comma.csv").read_text()
    names = [line.split(",")[0] for line in text.splitlines()[1:]]
    place(tmp_path, *names, "vids/c1.mp4")
    (tmp_path / "plain.csv").write_text(text.replace(", ", ","))
    spaced, same = listed(tmp_path / "space_after_comma.csv"), listed(tmp_path / "plain.csv")
    assert spaced.sources == same.sources
    assert "the column split" in spaced.rule
    with pytest.raises(InputError, match="is listed twice"):
        listed(tmp_path / "same_file_twice.csv")
