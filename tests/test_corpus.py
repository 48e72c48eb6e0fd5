from pathlib import Path

import pytest

from data_prep.config import CorpusConfig
from data_prep.errors import InputError
from data_prep.sources.layouts import list_corpus
from data_prep.sources.source import Source


def list_sources(root: Path, config: CorpusConfig) -> list[Source]:
    corpus = list_corpus(str(root), config, f"--data {root}")
    corpus.require_splits(f"--data {root}")
    return corpus.sources


def make_corpus(root: Path, names: list[str], csv: str | None = None) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    if csv is not None:
        (root / "split.csv").write_text(csv)
    return root


def splits_of(root: Path, config: CorpusConfig | None = None) -> dict[str, str]:
    return {s.path: s.split for s in list_sources(root, config or CorpusConfig())}


def test_videos_are_found_in_nested_folders_whatever_the_case(tmp_path: Path) -> None:
    names = ["a.mp4", "x/b.MKV", "x/y/c d – é.webm", "d.avi", "e.mov", "notes.txt", "x/f.jpg"]
    found = splits_of(make_corpus(tmp_path, names))
    assert sorted(found) == sorted(["a.mp4", "x/b.MKV", "x/y/c d – é.webm", "d.avi", "e.mov"])
    assert set(found.values()) == {"train", "validation", "test"}


def test_groups_never_cross_splits(tmp_path: Path) -> None:
    names = [f"v_Knit_g{g:02d}_c{c:02d}.avi" for g in range(1, 9) for c in range(1, 6)]
    sources = list_sources(make_corpus(tmp_path, names), CorpusConfig())
    assert len(sources) == 40
    for group in {source.group for source in sources}:
        assert len({s.split for s in sources if s.group == group}) == 1


def test_csv_decides_and_the_last_fifth_of_train_becomes_validation(tmp_path: Path) -> None:
    names = [f"{i:02d}.mp4" for i in range(12)]
    csv = "name,split\n" + "".join(
        f"{n},{'test' if i < 2 else 'train'}\n" for i, n in enumerate(names)
    )
    splits = splits_of(make_corpus(tmp_path, [*names, "unlisted.mp4"], csv))
    assert [splits[n] for n in names] == ["test"] * 2 + ["train"] * 8 + ["validation"] * 2
    assert "unlisted.mp4" not in splits


def test_csv_with_validation_and_groups_is_taken_as_it_is(tmp_path: Path) -> None:
    csv = "name,split,group,label\na.mp4,train,g1,run\nb.mp4,val,g2,walk\nc.mp4,test,g3,run\n"
    sources = list_sources(make_corpus(tmp_path, ["a.mp4", "b.mp4", "c.mp4"], csv), CorpusConfig())
    assert [(s.split, s.group, s.label) for s in sources] == [
        ("train", "g1", "run"),
        ("validation", "g2", "walk"),
        ("test", "g3", "run"),
    ]


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("file,split\na.mp4,train\n", "no column name"),
        ("name,split\na.mp4,trian\n", r"split.csv:2: split 'trian' is none of"),
        ("name,split\nz.mp4,train\n", r"split.csv:2: 'z.mp4' is no file"),
        ("name,split\na.mp4,train\na.mp4,test\n", r"split.csv:3: 'a.mp4' is listed twice"),
        (
            "name,split\na.mp4,train\nb.mp4,train\n",
            "leave the test split empty|leave the validation",
        ),
    ],
)
def test_a_wrong_csv_is_named_with_its_line(tmp_path: Path, csv: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list_sources(make_corpus(tmp_path, ["a.mp4", "b.mp4"], csv), CorpusConfig())


def test_a_path_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        list_sources(tmp_path / "nowhere", CorpusConfig())
    with pytest.raises(InputError, match="no video in this folder"):
        list_sources(tmp_path, CorpusConfig())
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="give a folder, a csv, tsv or jsonl list"):
        list_sources(tmp_path / "a.mp4", CorpusConfig())
    with pytest.raises(InputError, match=r"splits.csv: no such file"):
        list_sources(tmp_path, CorpusConfig(splits=str(tmp_path / "splits.csv")))
