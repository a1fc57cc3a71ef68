"""AutoKeras beside a search: the same data, folds, objective and seed, and as much time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.baselines.autokeras import ENGINE, HOW
from kerasgrid.draft import read_draft
from kerasgrid.driver import search
from kerasgrid.errors import ConfigError, Fault, ResultsError
from kerasgrid.observer import Observer
from kerasgrid.results import Results


@dataclass(frozen=True)
class Comparison:
    """What came of both searches.

    Attributes:
        own: The search of the grid.yaml.
        autokeras: AutoKeras's; None where the other was interrupted before.
        notes: How AutoKeras was run.
    """

    own: Results
    autokeras: Results | None
    notes: tuple[str, ...] = ()

    @property
    def is_interrupted(self) -> bool:
        """Whether the same command would go on."""
        return self.autokeras is None or "interrupted" in (self.own.status, self.autokeras.status)

    @property
    def models(self) -> list[Path]:
        """The files of AutoKeras's best model, one a fold and repeat; none where they are not all there."""
        if self.autokeras is None or self.autokeras.best is None:
            return []
        try:
            return self.autokeras.model_files()
        except ResultsError:  # removed by somebody, or not saved, which a note has told
            return []


def compare(
    config: str | Path | Mapping[str, Any],
    X: Any = None,
    y: Any = None,
    *,
    results: str | Path = "results",
    overrides: Sequence[str] = (),
    observe: Callable[[str], Observer] = lambda name: Observer(),
) -> Comparison:
    """Runs a search, or goes on with it, and then AutoKeras's for as long as that took.

    Args:
        config: As in `search`; its `autokeras` section says how many trials, of which blocks, and for how
            long, where that is not to be as long.
        X: As in `search`.
        y: As in `search`.
        results: The folder for NAME.json and NAME-autokeras.json.
        overrides: `key.path=value` texts, as the command line's --set.
        observe: Returns who is told what happens in the search of that name.

    Raises:
        ConfigError: Faults of the config; or its engine is autokeras itself.
    """
    draft = read_draft(config, overrides)
    if draft.config.search.engine == ENGINE:
        fault = Fault("search.engine", "is autokeras itself: name the engine that it is compared with.")
        raise ConfigError([fault], draft.report.source)
    name, own_time = draft.config.name, draft.config.autokeras.time
    own = search(config, X, y, results=results, overrides=overrides, observer=observe(name))
    if own.status == "interrupted":
        return Comparison(own, None)
    took_s = math.ceil(own.data["summary"]["wall_time_s"])
    theirs = [f"search.engine={ENGINE}", *([] if own_time else [f"autokeras.time={took_s}s"])]
    notes = read_draft(config, [*overrides, *theirs]).notes
    found = search(
        config,
        X,
        y,
        results=results,
        overrides=[*overrides, *theirs],
        observer=observe(f"{name}, by AutoKeras"),
    )
    return Comparison(own, found, (*notes, *HOW))
