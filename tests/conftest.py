import os

# Workers share the cores, a thread for each; threads that fight slow one another tenfold. Set
# before numpy and torch read it; what a test starts inherits it.
os.environ["OMP_NUM_THREADS"] = "1"

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from playwright.sync_api import Browser, sync_playwright

from benchmarks import models as registered
from data_prep import stopping
from data_prep.config import BouncingBallsConfig, CorpusConfig, EncoderConfig
from data_prep.embed import prepare_embeddings
from data_prep.encoders.named import named
from data_prep.frames import prepare_frames
from data_prep.shards.format import ShardSet
from data_prep.synthetic.bouncing_balls import write_bouncing_balls

pytest.register_assert_rewrite("browsing")

BALLS = BouncingBallsConfig(train=6, validation=2, test=3, seconds=3.5)

# Files that take half a minute or more, the longest first.
LONG = (
    *("end_to_end", "thinking", "command_line", "denoise_run", "scaling", "sharing", "prepare"),
    *("denoise", "own_models", "devices", "intervals", "whole_images"),
)

torch.set_num_threads(1)
# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: a worker that begins one last is waited for by all others."""
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("WORLDMODEL_TEST_DATA")
    if not folder:
        pytest.skip("WORLDMODEL_TEST_DATA is not set: no real clips to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus of real mp4 files with a split.csv."""
    return write_bouncing_balls(tmp_path_factory.mktemp("balls"), BALLS)


@pytest.fixture(scope="session")
def frame_shards(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return prepare_frames(balls, tmp_path_factory.mktemp("cache"), CorpusConfig())


@pytest.fixture(scope="session")
def embedding_shards(frame_shards: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return prepare_embeddings(frame_shards, tmp_path_factory.mktemp("cache"), EncoderConfig())


@pytest.fixture(scope="session", autouse=True)
def _small_figures() -> Iterator[None]:
    """Figures are drawn and written, but coarse and not laid out tightly, which takes longest."""
    savefig = Figure.savefig

    def coarse(figure: Figure, *arguments: Any, **options: Any) -> None:
        savefig(figure, *arguments, **options | {"dpi": 65})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", coarse)
        patch.setattr(Figure, "tight_layout", lambda figure, **_: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_end_by_force() -> Iterator[None]:
    """A run that is told to end may take long; its process is that of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopping, "GRACE", 240.0)
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("no chromium on this machine: pages are not opened in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(autouse=True)
def _nothing_of_the_users_stays() -> Iterator[None]:
    """Models and encoders that a test adds are gone after it."""
    before = {kind: dict(specs) for kind, specs in registered._added.items()}
    names = set(named)
    yield
    registered._added.clear()
    registered._added.update(before)
    named.clear()
    named.update(names)
