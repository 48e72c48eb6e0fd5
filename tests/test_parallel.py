import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.training.processes import Job, run_in_processes

Report = Callable[[int, float], None]


def work(folder: Path, number: int, report: Report) -> None:
    for step in range(3):
        report(step + 1, 0.5)
    (folder / str(number)).write_text(f"{os.getpid()} {torch.get_num_threads()}")


def fail(folder: Path, number: int, report: Report) -> None:
    if number == 1:
        raise FloatingPointError("loss not finite")
    time.sleep(1)
    (folder / str(number)).write_text("")


def test_jobs_run_elsewhere_on_one_thread_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {f"job {number}": Job((tmp_path, number), 3, 1.0) for number in range(4)}
    run_in_processes(work, jobs, processes=2)
    made = [path.read_text().split() for path in tmp_path.iterdir()]
    assert len(made) == 4
    assert 1 <= len({process for process, _ in made}) <= 2
    assert str(os.getpid()) not in {process for process, _ in made}
    assert {threads for _, threads in made} == {"1"}
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert sorted(line for line in said if line.startswith("trained")) == [
        f"trained job {number}" for number in range(4)
    ]
    lines = [line for line in said if line.startswith("job 0: ")]
    assert lines[-1].startswith("job 0: 100 %")
    assert "all trainings: " in lines[-1]


def test_an_error_is_raised_and_stops_what_has_not_begun(tmp_path: Path) -> None:
    jobs = {f"job {number}": Job((tmp_path, number), 1, 1.0) for number in range(40)}
    with pytest.raises(FloatingPointError, match="loss not finite"):
        run_in_processes(fail, jobs, processes=2)
    assert len(list(tmp_path.iterdir())) < 20
