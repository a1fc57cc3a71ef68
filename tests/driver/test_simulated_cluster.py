"""A search over nodes that are lost and come, under a clock of their own: the executor of a benchmark."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from fakes import without_times

from kerasgrid.checks.draft import read_draft
from kerasgrid.config.sections import SearchConfig
from kerasgrid.driver.search import few_at_a_time, opened
from kerasgrid.run.journal import read

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulated():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import simulated_cluster

        yield simulated_cluster


def test_over_nodes_that_are_lost_a_search_finds_what_it_finds_at_one_seat(simulated, tmp_path):
    found = []
    lossy = simulated.SimulatedCluster(simulated.Training(), 8, life_s=1000)
    for cluster in (lossy, simulated.SimulatedCluster(simulated.Training(), 1, life_s=math.inf)):
        draft = read_draft(simulated.config_of("halving", 40, 2, {}))
        folder = tmp_path / str(cluster.n_workers)
        with opened(draft, results=folder, executor=cluster) as session:
            session.run_engine()
        found.append(without_times(json.loads(session.run.paths.json.read_text())))
        _, records = read(session.run.paths.journal)
        told = Counter((record["type"], *record["job"]) for record in records if "job" in record)
        assert {n for (kind, *_), n in told.items() if kind == "fold"} == {1}
        assert any(kind == "retry" for kind, *_ in told) == (cluster is lossy)
    assert lossy.n_lost > 2
    assert found[0] == found[1]
    assert 0 < lossy.busy_s <= lossy.there_s


@pytest.mark.parametrize(
    ("search", "told"),
    [
        (
            {"engine": "tpe", "trials": 40},
            "search.proposals is 4: 12 fits at a time, so that 52 of 64 workers have nothing to do. With 22 "
            "all have, and with several times as many none waits long for the last fits.",
        ),
        ({"engine": "tpe", "trials": 40, "proposals": 22}, None),
        ({"engine": "tpe", "trials": 4}, None),
        ({"engine": "grid"}, None),
    ],
)
def test_too_few_candidates_at_a_time_are_told(search, told):
    assert few_at_a_time(SearchConfig.model_validate(search), 3, 64) == ([] if told is None else [told])
