"""What engines and the driver say to each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerasgrid.config.sections import SearchConfig
from kerasgrid.io import digest
from kerasgrid.records import Target
from kerasgrid.space.space import Params, Space


@dataclass(frozen=True)
class Task:
    """What an engine is asked to search.

    Attributes:
        epochs: Tells the epochs that a candidate asks for.
        n_folds: Folds a candidate.
        params: What all candidates have in common.
        input_shape: Axes of one sample.
        target: What is predicted; None where no engine asks.
    """

    space: Space
    search: SearchConfig
    epochs: Callable[[Params], int]
    n_folds: int
    params: Params = field(default_factory=dict)
    input_shape: tuple[int, ...] = ()
    target: Target | None = None

    @property
    def longest(self) -> int:
        """The most epochs that a candidate may ask for."""
        return max(self.epochs(params) for params in self.space.only("epochs", "stages").together())

    @property
    def n_trials(self) -> int:
        """What `search.trials` says, to engines that need it."""
        assert self.search.trials is not None
        return self.search.trials

    def candidates(self) -> list[Params]:
        """Returns the whole of a finite space in its order; or `search.trials` of them, drawn at random.

        None is there twice, though the grids of a union may have some in common.
        """
        n = self.search.trials
        if n is None or (self.space.is_finite and n >= self.space.size):
            return list({digest(params): params for params in self.space}.values())
        return self.space.sample(n, self.search.seed)

    def untried(self, keys: Collection[str], n: int) -> list[Params]:
        """Returns up to `n` candidates drawn at random whose digests are not among some."""
        drawn = self.space.sample(len(keys) + n, self.search.seed)
        return [params for params in drawn if digest(params) not in keys][:n]


@dataclass(frozen=True)
class Proposal:
    """What an engine wants trained next.

    Attributes:
        candidates: Each with its own params.
        until: The epoch, from 1, after which they wait for what the engine says; None to train them to
            their ends.
        folds: The folds to train; None for all.
        dropped: Candidates of earlier proposals that wait and are given up.
    """

    candidates: Sequence[Params]
    until: int | None = None
    folds: Sequence[int] | None = None
    dropped: Sequence[Params] = ()


Scores = Sequence[Any]
"""In the order of the candidates, higher is better, None for a failure: the mean over the held-out folds;
where `until` is told, a sequence of the inner splits' scores, one for each of the folds asked for."""

Engine = Generator[Proposal, Scores, None]


@dataclass(frozen=True)
class Outline:
    """What an engine is going to do.

    Attributes:
        lines: To print.
        candidates: That it proposes at most.
        epochs: That it trains at most.
    """

    lines: tuple[str, ...]
    candidates: int
    epochs: int


@dataclass(frozen=True)
class Kind:
    """An engine, and what holds of it.

    Attributes:
        run: Makes the generator.
        decides_by_val: Whether it decides by scores on the inner split, so that there has to be one.
        frees_val: Whether nothing is decided by the inner split of candidates that it trains to their ends.
        chooses_by_score: Whether what it proposes depends on scores.
        needs_trials: Whether `search.trials` has to say how many candidates there are.
        lists: Whether it goes over all candidates of a space.
        draws: Whether it goes over some, drawn at random, where `search.trials` says how many.
        has_brackets: Whether it says itself how many candidates there are, and how long each is trained.
        rejects: Whether it can leave out what a space does not allow.
        asks: Whether another library is asked in a process of its own, which takes seconds to begin.
        has_own_space: Whether its candidates are of a space of its own, whatever the config's is.
        settings: Of the `search` section, that only some engines have.
        packages: That it imports and that may be missing, and what pip is to install for each.
        outline: Tells what it is going to do, where its first proposal does not tell that.
    """

    run: Callable[[Task], Engine]
    decides_by_val: bool = False
    frees_val: bool = False
    chooses_by_score: bool = False
    needs_trials: bool = False
    lists: bool = False
    draws: bool = False
    has_brackets: bool = False
    rejects: bool = False
    asks: bool = False
    has_own_space: bool = False
    settings: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    outline: Callable[[Task], Outline] | None = None
