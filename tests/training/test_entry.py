import gc
import logging
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from kerasgrid.training.entry import load, quiet


@pytest.fixture
def on_jax(monkeypatch):
    """TensorFlow is not imported for what it would say."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")


def test_tensorflow_is_quiet_for_as_long_as_it_is_asked_to_be(on_jax, monkeypatch, caplog):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    logger = logging.getLogger("tensorflow")
    first, second = ExitStack(), ExitStack()  # of two threads, say
    first.enter_context(quiet())
    second.enter_context(quiet())
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    first.close()
    logger.warning("5 calls triggered retracing")
    logger.error("out of memory")
    second.close()
    logger.warning("the user's own")
    assert [record.message for record in caplog.records] == ["out of memory", "the user's own"]
    assert "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    assert not logger.filters


def test_a_level_of_the_users_own_stays(on_jax, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with quiet():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.slow
def test_tensorflow_is_imported_without_a_word_and_a_worker_has_begun_nothing_on_its_device():
    program = (
        "import os, sys\n"
        "from kerasgrid.training.entry import load, quiet\n"
        "with quiet():\n"
        "    import tensorflow\n"
        "    device = tensorflow.config.list_physical_devices()[0]\n"
        "load()\n"
        "limit = tensorflow.config.LogicalDeviceConfiguration()\n"
        "tensorflow.config.set_logical_device_configuration(device, [limit] * 2)\n"  # refused from then on
        "os.write(2, b'heard')\n"
    )
    own = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    own["KERAS_BACKEND"] = "tensorflow"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=own, check=True)
    assert (done.stdout, done.stderr) == (b"", b"heard")


@pytest.mark.slow
def test_what_a_worker_imports_is_not_looked_through_for_garbage():
    gc.unfreeze()
    try:
        load()
        n_tracked, n_frozen = len(gc.get_objects()), gc.get_freeze_count()
    finally:
        gc.freeze()
    assert "keras" in sys.modules
    assert n_frozen > 100 * n_tracked


@pytest.mark.slow
@pytest.mark.parametrize(("told", "limits"), [("18000", [("the GPU", 18000)]), (None, [])])
def test_tensorflow_takes_no_more_of_a_gpu_than_the_workers_share(monkeypatch, told, limits):
    """Before it has looked at the GPU, after which it would refuse to be told."""
    from kerasgrid.training import backend

    if backend.NAME != "tensorflow":
        pytest.skip("JAX has its share from the environment")
    config, found = backend.tf.config, []
    monkeypatch.delenv("KERASGRID_GPU_MEMORY_MB", raising=False)
    if told is not None:
        monkeypatch.setenv("KERASGRID_GPU_MEMORY_MB", told)
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["the GPU"])
    monkeypatch.setattr(
        config,
        "set_logical_device_configuration",
        lambda gpu, each: found.append((gpu, each[0].memory_limit)),
    )
    backend.keep_to_share()
    assert found == limits
