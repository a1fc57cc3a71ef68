"""A KerasTuner oracle in a process of its own: the driver imports no Keras, and shares no lock with it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from kerasgrid.errors import KerasgridError, MissingPackageError

Values = dict[str, Any]
MANY = 10**9


class OracleProcess:
    """An oracle that is asked and told; a context manager.

    Args:
        kind: The name of its class in keras_tuner.oracles.
        arguments: Of that class, beside its objective and hyperparameters.
        declared: The hyperparameters: (method of HyperParameters, arguments, condition) each, where the
            condition is (name, values) or None.

    Raises:
        MissingPackageError: KerasTuner is not installed.
    """

    def __init__(self, kind: str, arguments: Mapping[str, Any], declared: Sequence[tuple]) -> None:
        self._connection, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._call("begin", kind, dict(arguments), list(declared))

    def ask(self, n: int) -> list[tuple[str, Values]]:
        """Returns up to `n` proposals, an id and values each; fewer where others have to be told before.

        None at all is the end.
        """
        return self._call("ask", n)

    def tell(self, id_: str, score: float | None) -> None:
        """Tells the score of a proposal, higher is better; None for a failure."""
        self._call("tell", id_, score)

    def __enter__(self) -> OracleProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _call(self, *message: Any) -> Any:
        try:
            self._connection.send(message)
            kind, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise KerasgridError("KerasTuner's oracle: its process has ended.") from error
        if kind == "missing":
            raise MissingPackageError(answer)
        if kind == "error":
            raise KerasgridError(f"KerasTuner's oracle: {answer}")
        return answer


def _serve(connection: Connection) -> None:
    """Is the process: answers until the other side hangs up."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what follows on Ctrl-C
    with contextlib.suppress(EOFError, OSError), tempfile.TemporaryDirectory() as folder:
        asked = None
        while True:
            name, *arguments = connection.recv()
            try:
                if name == "begin":
                    _silence()
                    asked = _Asked(*arguments, folder)
                    answer = None
                else:
                    answer = getattr(asked, name)(*arguments)
            except ImportError as error:
                connection.send(
                    ("missing", f"this engine needs keras-tuner ({error}): pip install keras-tuner.")
                )
            except Exception as error:
                connection.send(("error", f"{type(error).__name__}: {error}"))
            else:
                connection.send(("answer", answer))


def _silence() -> None:
    """Keeps what TensorFlow logs while it is imported out of the terminal."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(descriptor, number)


class _Asked:
    """An oracle by ask and tell, without a Tuner."""

    def __init__(self, kind: str, arguments: Values, declared: Sequence[tuple], folder: str) -> None:
        import keras_tuner
        from keras_tuner import oracles

        hp = keras_tuner.HyperParameters()
        for method, own, condition in declared:
            scope = contextlib.nullcontext() if condition is None else hp.conditional_scope(*condition)
            with scope:
                getattr(hp, method)(**own)
        objective = keras_tuner.Objective("score", "max")
        self.oracle = getattr(oracles, kind)(
            objective=objective, hyperparameters=hp, max_consecutive_failed_trials=MANY, **arguments
        )
        self.oracle.verbose = 0
        self.oracle._set_project_dir(folder, "oracle")  # without it, it keeps no trial
        self.running: dict[str, Any] = {}

    def ask(self, n: int) -> list[tuple[str, Values]]:
        found = []
        for _ in range(n):
            # One id for each proposal under way: an oracle gives a tuner that has a trial the same again.
            trial = self.oracle.create_trial(f"tuner {len(self.running)}")
            if trial.status in ("STOPPED", "IDLE"):
                break
            self.running[trial.trial_id] = trial
            found.append((trial.trial_id, dict(trial.hyperparameters.values)))
        return found

    def tell(self, id_: str, score: float | None) -> None:
        trial = self.running.pop(id_)
        if score is None:
            trial.status, trial.message = "FAILED", "it failed"
        else:
            self.oracle.update_trial(id_, {"score": score}, step=0)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)
