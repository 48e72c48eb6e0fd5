import threading
import time
from pathlib import Path

import pytest

from data_prep.config import CorpusConfig, ExecutorConfig
from data_prep.frames import make_frames
from data_prep.sources.layouts import list_corpus

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")

CONFIG = CorpusConfig(sources_per_shard=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_node_that_dies_changes_nothing(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes of Ray's own test cluster; one is killed when its first shards are there."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    corpus = list_corpus(str(balls), CONFIG, "")
    assert make_frames(corpus, str(tmp_path / "here"), CONFIG, ExecutorConfig()) is not None
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
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
        made = make_frames(corpus, str(tmp_path / "ray"), CONFIG, ExecutorConfig(executor="ray"))
    finally:
        thread.join()
        ray.shutdown()
        cluster.shutdown()
    assert made is not None
    assert killed.is_set()
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


@pytest.mark.slow
def test_a_local_cluster_is_started_and_errors_come_through(balls: Path, tmp_path: Path) -> None:
    from data_prep.prepare import main

    options = ["--executor", "ray", "--sources-per-shard", "6", "--size", "16"]
    assert main(["shards", str(balls), str(tmp_path / "set"), *options]) == 0
    assert not ray.is_initialized()
    assert main(["embed", str(tmp_path / "set"), str(tmp_path / "e"), "--executor", "ray"]) == 0
    assert main(["verify", str(tmp_path / "e")]) == 0
