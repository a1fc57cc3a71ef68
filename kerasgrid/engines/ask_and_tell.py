"""Another library's search in a process of its own, by ask and tell.

The driver imports none of it, waits for none of its locks, and is not changed by what it sets.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

from kerasgrid.errors import KerasgridError, MissingPackageError
from kerasgrid.spawning import Child, Ended, Parent

Values = dict[str, Any]
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
"""It trains nothing, and would take a GPU's memory from the workers: TensorFlow takes all that is free."""
_GRACE_S = 3.0
"""What it has to remove what it keeps on the disk."""


class Asked(Protocol):
    """What answers in the process, by methods of the names that AskedProcess has."""

    library: str
    """To tell whose error it is."""


class AskedProcess:
    """What is asked and told in a process of its own; a context manager.

    Args:
        make: Makes it there; a class of a module.

    Raises:
        MissingPackageError: What it imports is not installed.
    """

    def __init__(self, make: type[Asked], *arguments: Any) -> None:
        self._library = make.library
        self._process = Child(
            _serve, make, arguments, environment=_WITHOUT_GPU, is_silent=True, grace_s=_GRACE_S
        )
        try:
            self._call("begin")
        except BaseException:
            self._process.close()
            raise

    def ask(self, n: int) -> list[tuple[str, Values]]:
        """Returns up to `n` proposals, an id and values each; fewer where others have to be told before.

        None at all is the end.
        """
        return self._call("ask", n)

    def tell(self, id_: str, score: float | None) -> None:
        """Tells the score of a proposal, higher is better; None for a failure."""
        self._call("tell", id_, score)

    def enqueue(self, values: Values) -> None:
        """Makes these values the next proposal, where that is known."""
        self._call("enqueue", values)

    def redirect(self, id_: str, values: Values) -> None:
        """Lets a proposal be of other values, where that is known."""
        self._call("redirect", id_, values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.close()

    def _call(self, *message: Any) -> Any:
        self._process.send(message)
        try:
            kind, answer = self._process.receive()
        except Ended as error:
            raise KerasgridError(f"{self._library}: its process has ended.") from error
        if kind == "missing":
            raise MissingPackageError(f"{self._library} cannot be imported: {answer}.")
        if kind == "error":
            raise KerasgridError(f"{self._library}: {answer}")
        return answer


def _serve(driver: Parent, make: type[Asked], arguments: tuple[Any, ...]) -> None:
    """Is the process."""
    asked = None
    for name, *message in driver:
        try:
            if name == "begin":
                asked, answer = make(*arguments), None
            else:
                answer = getattr(asked, name)(*message)
        except ImportError as error:
            driver.send(("missing", str(error)))
        except Exception as error:
            driver.send(("error", f"{type(error).__name__}: {error}"))
        else:
            driver.send(("answer", answer))
    del asked  # with what it keeps on the disk
