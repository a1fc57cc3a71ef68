"""A space of all kinds of parameters, and a driver of engines that trains nothing."""

from __future__ import annotations

from importlib import import_module

from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import ENGINES, Task
from kerasgrid.space.reading import read_space

SPACE = {
    "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "optimizer": ["SGD", "Adam"],
    "momentum": {"values": [0, 0.5], "when": {"optimizer": "SGD"}},
    "norm": [True, False, None],
    "units": [[8], [8, 16]],
    "layers": {"low": 1, "high": 7, "step": 2, "type": "int"},
    "size": {"low": 8, "high": 64, "type": "int", "log": True},
    "dropout": {"low": 0.1, "high": 0.5, "step": 0.1},
}


def run(engine, space=SPACE, score=lambda params: params["dropout"], exclude=(), **settings):
    """Runs an engine to its end; returns the proposals."""
    read, faults = read_space(space, exclude)
    assert not faults
    search = SearchConfig(engine=engine, **settings)

    def told(proposal):
        scores = [score(params) for params in proposal.candidates]
        return scores if proposal.until is None else [[found] * 3 for found in scores]

    return drive(Task(read, search, lambda params: 9, 3), told)


def drive(task, told):
    """Runs a task's engine to its end with what a function tells it of a proposal; returns the proposals."""
    proposing = ENGINES[task.search.engine].run(task)
    made, proposal = [], next(proposing)
    while proposal is not None:
        made.append(proposal)
        try:
            proposal = proposing.send(told(proposal))
        except StopIteration:
            proposal = None
    return made


def candidates(made):
    return [params for proposal in made for params in proposal.candidates]


def is_legal(params):
    return (
        set(params) - {"momentum"} == set(SPACE) - {"momentum"}
        and ("momentum" in params) is (params["optimizer"] == "SGD")
        and params.get("momentum") in (None, 0, 0.5)
        and 1e-4 <= params["rate"] <= 1e-1
        and params["layers"] in (1, 3, 5, 7)
        and type(params["size"]) is int
        and 8 <= params["size"] <= 64
        and params["dropout"] in (0.1, 0.2, 0.3, 0.4, 0.5)
        and params["units"] in ([8], [8, 16])
        and params["norm"] in (True, False, None)
    )


class InThisProcess:
    """What is asked and told without a process of its own, which takes seconds to import its libraries."""

    def __init__(self, make, *arguments):
        self.asked = make(*arguments)

    def __getattr__(self, name):
        return getattr(self.asked, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def ask_in_this_process(monkeypatch, library="autokeras"):
    """Lets the engines of a library ask in this process."""
    engine = import_module(f"kerasgrid.engines.{library}")
    monkeypatch.setattr(engine, "AskedProcess", InThisProcess)
