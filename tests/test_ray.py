import shutil
import threading
import time
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig, ExecutorConfig
from data_prep.errors import StorageError
from data_prep.frames import make_frames
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.sources.layouts import list_corpus

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")

CONFIG = CorpusConfig(sources_per_shard=2, size=16)
ON_RAY = ExecutorConfig(executor="ray")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a set, without what a killed writer was about to write."""
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_node_that_dies_changes_nothing_and_errors_come_through(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes of Ray's own test cluster; one is killed when its first shards are there."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    corpus = list_corpus(str(balls), CONFIG, "")
    assert make_frames(corpus, str(tmp_path / "here"), CONFIG, ExecutorConfig()) is not None
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    killed = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if len(list((tmp_path / "ray").glob("*-*.json"))) >= 2:
                cluster.remove_node(doomed, allow_graceful=False)
                killed.set()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    try:
        thread.start()
        made = make_frames(corpus, str(tmp_path / "ray"), CONFIG, ON_RAY)
        thread.join()
        assert made is not None
        assert killed.is_set()
        assert contents(tmp_path / "ray") == contents(tmp_path / "here")
        lost = shutil.copytree(balls, tmp_path / "lost")
        corpus = list_corpus(str(lost), CONFIG, "")
        shutil.rmtree(lost)
        with pytest.raises(StorageError, match="lost: is gone; bring it back"):
            make_frames(corpus, str(tmp_path / "none"), CONFIG, ON_RAY)
    finally:
        thread.join()
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_a_local_cluster_is_started_and_ended(frame_shards: ShardSet, tmp_path: Path) -> None:
    frames = str(frame_shards.folder)
    assert main(["embed", frames, str(tmp_path / "ray"), "--executor", "ray"]) == 0
    assert not ray.is_initialized()
    assert main(["embed", frames, str(tmp_path / "here")]) == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
