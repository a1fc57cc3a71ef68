"""The space: which values are legal. It can be counted, indexed and sampled.

A space is one or more grids (scikit-learn's `param_grid`), each a mapping from a parameter's name to
a list of values or a range. Candidates come in the order of scikit-learn's ParameterGrid: names
sorted, the last one fastest.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from kerasgrid.io import canonical_json, digest
from kerasgrid.space.dimensions import Choice, Range

Params = dict[str, Any]
_MAX_IN_VAIN = 1_000
_MAX_REST = 1_000_000
_MAX_LISTED = 1_000
_MAX_TOGETHER = 4_096
_MAX_COVERED = 256


class Space(Sequence[Params]):
    """The candidates of one or more grids.

    `size` and `[i]` hold where every range has a step; neither lists the candidates.

    Attributes:
        is_drawn: Whether some of what the grids hold is no candidate, which `size` and `[i]` do not know.
        whole: The same candidates as fewer grids, of which `allows` tells those that are one.

    Args:
        grids: Mappings from a parameter's name to its values or range.
        places: The place of the written space that each grid is of, where conditions have made several of
            one; None for one each.
        weights: How often a candidate drawn at random is one of each grid, where they cannot be counted or
            values have weights; None for equal ones.
        allows: Tells whether a candidate is one, of those that are drawn from ranges without a step; None
            for all.
        whole: None for the space itself.
    """

    def __init__(
        self,
        grids: Sequence[Mapping[str, Choice | Range]],
        places: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
        allows: Callable[[Params], bool] | None = None,
        whole: Space | None = None,
    ) -> None:
        self.grids = tuple(dict(grid) for grid in grids)
        self.places = tuple(range(len(grids)) if places is None else places)
        self.weights = tuple([1.0] * len(grids) if weights is None else weights)
        self.is_drawn = allows is not None
        self.allows = allows or (lambda params: True)
        self.whole = self if whole is None else whole

    @property
    def names(self) -> list[str]:
        """The searched parameters, sorted."""
        return sorted({name for grid in self.grids for name in grid})

    @property
    def is_finite(self) -> bool:
        """Whether every range has a step, so that the candidates can be counted."""
        return not self.endless()

    @property
    def is_weighted(self) -> bool:
        """Whether values have weights."""
        return any(getattr(dim, "weights", None) is not None for grid in self.grids for dim in grid.values())

    def endless(self) -> list[str]:
        """Returns the names of ranges without a step."""
        return sorted({name for grid in self.grids for name, dim in grid.items() if dim.is_endless})

    def values(self, name: str) -> list[Any]:
        """Returns the values of a parameter over all grids.

        Of a range without a step, or of more than 1,000 values, these are its two ends.
        """
        found: dict[str, Any] = {}
        for grid in self.grids:
            if name in grid:
                dim = grid[name]
                is_long = not 0 < len(dim) <= _MAX_LISTED
                values = dim.ends if isinstance(dim, Range) and is_long else dim.values
                found |= {canonical_json(v): v for v in values}
        return list(found.values())

    @property
    def size(self) -> int:
        """The number of candidates, which may be more than `len()` can tell.

        As with scikit-learn's ParameterGrid, those that two grids of a union have in common count twice; an
        engine tries them once.
        """
        return self._ends[-1] if self.grids else 0

    @cached_property
    def _ends(self) -> list[int]:
        """How many candidates the grids up to each have."""
        return [*itertools.accumulate(math.prod(map(len, grid.values())) for grid in self.grids)]

    def __bool__(self) -> bool:
        return True  # also of a space that `len()` cannot tell

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Params:  # type: ignore[override]  # has no slices
        """Returns the candidate at a place, from 0."""
        size = self.size
        if not -size <= index < size:
            raise IndexError(f"the space has {size} candidates, so that there is none at {index}")
        index %= size
        place = bisect_right(self._ends, index)
        grid, index = self.grids[place], index - (self._ends[place - 1] if place else 0)
        params = {}
        for name in sorted(grid, reverse=True):  # the last one is fastest
            index, of_value = divmod(index, len(grid[name]))
            params[name] = grid[name][of_value]
        return dict(sorted(params.items()))

    def __iter__(self) -> Iterator[Params]:
        for grid in self.grids:
            names = sorted(grid)
            for values in itertools.product(*(grid[name].values for name in names)):
                yield dict(zip(names, values, strict=True))

    def sample(self, n: int, seed: int) -> list[Params]:
        """Draws up to `n` candidates without repeats, as scikit-learn's ParameterSampler does.

        The first ones of a longer sample are those of a shorter one. A finite space gives all of its
        candidates where it has no more than `n`.

        Args:
            n: How many, at least 1.
            seed: 0 is a seed.
        """
        numbers = np.random.RandomState(seed)
        if self.is_finite and not self.is_weighted:
            drawn = (self[i] for i in _draw_without_repeats(self.size, self.size, numbers))
            found: dict[str, Params] = {}  # grids of a union may have candidates in common
            while len(found) < n and (params := next(drawn, None)) is not None:
                found.setdefault(digest(params), params)
            return list(found.values())
        found = {digest(params): params for params in islice(self._draws(numbers), n)}
        if self.is_finite and len(found) < n:  # what is left is drawn too seldom to wait for
            places = _draw_without_repeats(self.size, self.size, np.random.RandomState(seed))
            rest = [self[i] for i in places] if self.size <= _MAX_REST else []
            found |= {digest(params): params for params in rest if digest(params) not in found}
        return list(found.values())[:n]

    def _draws(self, numbers: np.random.RandomState) -> Iterator[Params]:
        """Yields candidates, none twice, until a thousand draws in a row have given no other one."""
        from sklearn.model_selection import ParameterSampler  # a second, which a grid need not spend

        grids = [
            {
                name: dim if isinstance(dim, Range) or dim.weights else list(dim.values)
                for name, dim in grid.items()
            }
            for grid in self.grids
        ]
        shares = np.asarray(self.weights) / sum(self.weights)
        is_even = len(set(self.weights)) == 1
        found: set[str] = set()
        n_in_vain = 0
        while n_in_vain < _MAX_IN_VAIN:  # ranges of whole numbers may hold few candidates
            of = grids if is_even else [grids[numbers.choice(len(grids), p=shares)]]
            drawn = next(iter(ParameterSampler(of, 1, random_state=numbers)))
            key = digest(drawn)
            if key in found or not self.allows(drawn):
                n_in_vain += 1
                continue
            found.add(key)
            n_in_vain = 0
            yield dict(sorted(drawn.items()))

    def cover(self, most: int | None = None) -> list[Params]:
        """Returns a few candidates in which every value occurs (of a range without a step, its ends).

        Where some of them are none, others are drawn in their place.

        Args:
            most: How many at most, spread over all of them, the first and the last among them; None for all.
        """
        of = (
            self.whole if len(self.grids) > _MAX_COVERED else self
        )  # what is excluded made so many grids of it
        found: dict[str, Params] = {}
        for grid in of.grids:
            part = Space([grid])
            values = {name: part.values(name) for name in part.names}
            for i in range(max((len(v) for v in values.values()), default=1)):
                params = {name: v[i % len(v)] for name, v in values.items()}
                found.setdefault(digest(params), params)
        allowed = {key: params for key, params in found.items() if of.allows(params)}
        drawn = self.sample(len(found), seed=0) if len(allowed) < len(found) else []
        covering = list((allowed | {digest(params): params for params in drawn}).values())[: len(found)]
        if most is None or len(covering) <= most:
            return covering
        return [covering[place * (len(covering) - 1) // max(1, most - 1)] for place in range(most)]

    def only(self, *sections: str) -> Space:
        """Returns the space of the parameters that belong to some sections, or are so called."""
        own = [
            {name: dimension for name, dimension in grid.items() if name.partition(".")[0] in sections}
            for grid in self.grids
        ]
        return Space(own or [{}])

    def together(self, switch: str = "") -> Iterator[Params]:
        """Yields candidates in which values stand beside one another (of a range without a step, its ends).

        These are all of them where there are at most 4,096, and else those of `cover` beside each value of
        the switch.

        Args:
            switch: The parameter that the others depend on.
        """
        listed = Space(
            [
                {name: Choice(dim.ends) if dim.is_endless else dim for name, dim in grid.items()}
                for grid in self.grids
            ]
        )
        if listed.size <= _MAX_TOGETHER:
            yield from filter(self.allows, listed)
            return
        for grid in self.grids:
            held = Space([grid]).values(switch)
            for part in [{**grid, switch: Choice((value,))} for value in held] or [grid]:
                yield from filter(self.allows, Space([part]).cover())


def _draw_without_repeats(n_population: int, n: int, numbers: np.random.RandomState) -> Iterator[int]:
    """Fisher and Yates's shuffle of range(n_population), of which only the first n are made."""
    moved: dict[int, int] = {}
    for i in range(n):
        j = i + _draw_below(n_population - i, numbers)
        yield moved.get(j, j)
        moved[j] = moved.get(i, i)


def _draw_below(n: int, numbers: np.random.RandomState) -> int:
    if n < 1 << 63:
        return int(numbers.randint(n, dtype=np.int64))
    n_bytes = n.bit_length() // 8 + 9  # so many more than n has that the remainder is as good as even
    return int.from_bytes(numbers.bytes(n_bytes), "little") % n
