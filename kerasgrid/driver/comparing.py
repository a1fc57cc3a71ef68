"""AutoKeras beside a search: the same data, folds, objective and seed, and as much time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.prepared import prepare
from kerasgrid.config.sections import Config
from kerasgrid.data.in_memory import Given
from kerasgrid.driver.identity import check_begun, check_one_version
from kerasgrid.driver.results import Results
from kerasgrid.driver.search import search
from kerasgrid.engines.autokeras import ENGINE, HOW
from kerasgrid.errors import ChangedError, ConfigError, Fault, JournalError, ResultsError
from kerasgrid.run.observer import Observer
from kerasgrid.seeds import kept_random_state

_BESIDE = (f"search.engine={ENGINE}", *(f"search.{name}=null" for name in ("trials", "time", "epochs")))
"""Budgets of the search are its own: AutoKeras has as long as that took, in as many trials and epochs."""


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


@kept_random_state()
def compare(
    config: str | Path | Mapping[str, Any],
    X: Any = None,
    y: Any = None,
    *,
    groups: Any = None,
    cv: Any = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    results: str | Path = "results",
    overrides: Sequence[str] = (),
    fresh: bool = False,
    observe: Callable[[str], Observer] = lambda name: Observer(),
) -> Comparison:
    """Runs a search, or goes on with it, and then AutoKeras's for as long as that took.

    AutoKeras's half is checked before the search begins, so that its faults do not come after hours.

    Args:
        config: As in `search`; its `autokeras` section says how many trials, of which blocks, and for how
            long, where that is not to be as long. The budgets of `search` are those of the search alone.
        X: As in `search`.
        y: As in `search`.
        groups: As in `search`.
        cv: As in `search`.
        sample_weight: As in `search`.
        validation_data: As in `search`.
        results: The folder for NAME.json and NAME-autokeras.json.
        overrides: `key.path=value` texts, as the command line's --set.
        fresh: Start AutoKeras's half anew; what was there is moved aside. The search goes on.
        observe: Returns who is told what happens in the search of that name.

    Raises:
        ConfigError: Faults of the config, or its engine is autokeras itself.
        ChangedError: What makes one of the runs the same run changed since it began.
    """
    cv = list(cv) if isinstance(cv, Iterator) else cv  # it is asked for splits more than once
    draft = read_draft(config, overrides)
    theirs = [*overrides, *_BESIDE]
    begun = None if fresh else results
    rival = read_draft(config, theirs, begun)
    if draft.is_sound:
        if fault := _fault(draft.config):
            raise ConfigError([fault], draft.report.source)
        prepared = prepare(rival, Given(X, y, groups, sample_weight, validation_data, cv))
        if begun is not None:
            check_begun(prepared, Path(begun))
    name = draft.config.name
    try:
        check_one_version(Path(results), name, rival.config.name, fresh)
        data = {"X": X, "y": y, "groups": groups, "cv": cv}
        data |= {"sample_weight": sample_weight, "validation_data": validation_data}
        own = search(config, **data, results=results, overrides=overrides, observer=observe(name))
    except (ChangedError, JournalError) as error:
        more = "In compare --fresh is of AutoKeras's half alone: give it to kerasgrid search."
        raise type(error)(f"{error} {more}") from error
    if own.status == "interrupted":
        return Comparison(own, None)
    if draft.config.autokeras.time is None:
        theirs.append(f"autokeras.time={math.ceil(own.about.summary.wall_time_s or 0)}s")
    found = search(
        config,
        **data,
        results=results,
        overrides=theirs,
        fresh=fresh,
        observer=observe(f"{name}, by AutoKeras"),
    )
    return Comparison(own, found, (*rival.notes, *HOW))


def _fault(config: Config) -> Fault | None:
    """Returns why a search cannot be set beside AutoKeras's; None where it can."""
    if config.search.engine == ENGINE:
        return Fault("search.engine", "is autokeras itself: name the engine that it is compared with.")
    if config.data.target is not None:
        return Fault(
            "data.target",
            "names numbers to predict, and AutoKeras's models here tell classes or labels: there is nothing "
            "to compare with. Other engines, such as tpe and bayesian, take them.",
        )
    spaces = config.space if isinstance(config.space, list) else [config.space]
    losses = [name for part in (config.params, *spaces) for name in part if name.partition(".")[0] == "loss"]
    if config.search.objective_name == "loss" and losses:
        return Fault(
            "search.objective",
            f"is loss, and the grid has losses of its own ({', '.join(dict.fromkeys(losses))}), while "
            "AutoKeras's is crossentropy: these are not one measure. Take neg_log_loss, which is of "
            "predictions alone, or another metric.",
        )
    return None
