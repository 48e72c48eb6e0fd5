"""A further task is a folder and a line in the registry; nothing else has to change."""

from pathlib import Path

import pytest

from benchmarks.cli.command_line import main
from benchmarks.tasks.registry import TASKS

TASK = '''
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.config import Inputs
from benchmarks.tasks.contract import Task
from data_prep.config import BouncingBallsConfig


@dataclass
class CountConfig:
    """Everything that decides a counting run.

    Args:
        loud: whether to shout.
    """

    balls: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    loud: bool = False


class CountData:
    def __init__(self, videos):
        self.videos = videos

    def describe(self):
        return {"corpus": "counted", "clips": {"train": self.videos}, "rejected": []}


class Count(Task[CountConfig, CountData]):
    config = CountConfig

    def prepare(self, config, inputs: Inputs):
        return CountData(config.balls.train)

    def run(self, config, data, inputs: Inputs, out: Path, device: str):
        from benchmarks.record.results import Result, describe_environment

        environment = describe_environment(device)
        return Result("count", {"loud": config.loud}, environment, data.describe())

    def report(self, folder, result):
        from benchmarks.reporting.report import Report

        said = f"{result.data['clips']['train']} videos" + "!" * result.config["loud"]
        return Report("Counting", [said])
'''


def test_a_task_that_prints_its_data_needs_a_folder_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "counting"
    (folder / "presets").mkdir(parents=True)
    (folder / "task.py").write_text(TASK)
    (folder / "presets" / "cpu.yaml").write_text("balls:\n  train: 17\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TASKS, "count", "counting.task:Count")  # the line

    out = str(tmp_path / "out")
    assert main(["--task", "count", "--loud", "true", "--out", out]) == 0
    printed = capsys.readouterr()
    assert "17 videos!" in printed.out
    assert "data: counted" in printed.err
    assert "17 videos!" in (tmp_path / "out" / "report.md").read_text()
    assert main(["--task", "count", "--quiet", "--out", str(tmp_path / "quiet")]) == 0
    printed = capsys.readouterr()
    assert "17 videos" in printed.out
    assert printed.err == ""
    assert main(["--report", out]) == 0
    assert "17 videos!" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--task", "count", "--help"])
    assert "whether to shout" in capsys.readouterr().out
    assert main(["--task", "count", "--seeds", "0"]) == 2
    assert "unrecognized arguments: --seeds" in capsys.readouterr().err
