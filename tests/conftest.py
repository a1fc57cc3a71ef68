"""What all tests share: a cache of their own, and the folder of real data."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from mutations import N_MUTATIONS

QUICKLY_COMPILED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

QUICK = {"not slow", "not slow and not browser", "not slow and not browser and not tree"}
ALL_SLOW = re.compile(r"^pytestmark = .*\bmark\.slow\b", re.MULTILINE)

# A test of speed is a benchmark: beside other workers any example may wait.
settings.register_profile("kerasgrid", deadline=None, max_examples=max(20, min(N_MUTATIONS // 3, 1000)))
settings.load_profile("kerasgrid")


def pytest_configure(config):
    """Lets signals reach tests, and JAX compile what several of them run once a test session."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what stands before `&` with SIGINT ignored, which processes of tests would inherit.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(
            signal.SIGHUP, lambda *_: None
        )  # as under nohup; what is handled is no process's to inherit
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers of pytest-xdist find it set
        folder = tempfile.mkdtemp(prefix="kerasgrid-jax-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if os.environ.get("KERAS_BACKEND") == "jax":  # as JAX's own tests do; the float64 ones leave it out
        os.environ.setdefault("XLA_FLAGS", QUICKLY_COMPILED)


def pytest_ignore_collect(collection_path, config):
    """Leaves files in which all is slow unread where nothing slow is asked for: most of them import Keras."""
    if config.option.markexpr in QUICK and collection_path.suffix == ".py":
        return ALL_SLOW.search(collection_path.read_text(encoding="utf-8")) is not None or None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Refuses a file that imports Keras at its top, for seconds, where nothing slow is asked for."""
    was_there = "keras" in sys.modules
    report = yield
    if collector.config.option.markexpr in QUICK and "keras" in sys.modules and not was_there:
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} imports Keras and has quick tests: let the slow ones import it."
        )
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Begins with the files that train the most, so that none of them is left for the end.

    Tests of Ray are a lane of their own, in one process: `pytest -m ray`.
    """
    if "ray" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("ray") is None]
    trained: Counter[Path] = Counter()
    for item in items:
        if mark := item.get_closest_marker("slow"):
            trained[item.path] += mark.kwargs.get("weight", 1)
    items.sort(key=lambda item: -trained[item.path])


IS_KERAS_FROZEN = pytest.StashKey[bool]()


def pytest_collection_finish(session):
    """Takes all that is imported out of the garbage collector's sight: each fit collects at its end.

    What is traced makes and drops so many objects that looking for rings of them takes a tenth of its time.
    """
    gc.collect(2)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    session.stash[IS_KERAS_FROZEN] = "keras" in sys.modules


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Does the same where a test was the first to import Keras, and with what each file leaves behind.

    TensorFlow's share of that grows with each fit, and a fit looks through all of it.
    """
    is_last = nextitem is None or nextitem.path != item.path
    if "keras" in sys.modules and (is_last or not item.session.stash[IS_KERAS_FROZEN]):
        if packs := sys.modules.get("kerasgrid.training.packs"):
            packs.forget()  # no later file takes these programs
        pytest_collection_finish(item.session)


@pytest.fixture(scope="session", autouse=True)
def young_garbage():
    """Has what is collected after a fit be the young: what is old goes at the end of a file.

    A test of what a fit leaves behind asks for generation 2.
    """
    collect = gc.collect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda generation=1: collect(generation))
        yield


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """Keeps tests out of the user's cache; one folder a test session, so that digits are read once."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASGRID_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def own_cache(session_cache):
    """Keeps a test out of what another one measured."""
    shutil.rmtree(session_cache / "measurements", ignore_errors=True)
    return session_cache


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled():
    """Leaves TensorFlow's optimizer of graphs out, which takes a fifth of the time of tests that train.

    A file that holds numbers to the bit has a fixture of this name, with which it is at work.
    """
    if "tensorflow" not in sys.modules:
        yield
        return
    from tensorflow.config import optimizer

    optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.fixture(scope="module")
def eager():
    """From here on lets Keras's own fits of a module compute step by step, for tests of what is around steps.

    That packs give what traced steps give is in contracts/.
    """
    from eagerly import eagerly

    with eagerly():
        yield


@pytest.fixture(scope="session")
def cluster():
    """A Ray cluster of two nodes with a core each on this machine, begun once for all tests."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port}
    # A node that goes refuses connections: that is seen in two seconds, not in half a minute.
    often = {"initial_delay_ms": 0, "period_ms": 500, "failure_threshold": 3}
    head["_system_config"] = {f"health_check_{name}": value for name, value in often.items()}
    head["_system_config"]["worker_niceness"] = 0  # of 15 a busy machine would leave them nothing
    made = Cluster(initialize_head=True, head_node_args=head)
    made.client_address = f"ray://127.0.0.1:{port}"
    made.add_node(num_cpus=1)
    ray.init(made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def add_node(cluster):
    """Adds nodes of a core to the cluster, of which none is left after the test."""
    added = []

    def add():
        added.append(cluster.add_node(num_cpus=1))
        return added[-1]

    n_before = len(cluster.list_all_nodes())
    yield add
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)
    cluster.wait_for_nodes()
    assert len(cluster.list_all_nodes()) == n_before


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that KERASGRID_TEST_DATA names, with kannada/ and mnist/ in IDX format."""
    folder = os.environ.get("KERASGRID_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("KERASGRID_TEST_DATA names no folder with real data")
    return Path(folder)
