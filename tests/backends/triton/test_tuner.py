"""The tuner of the Triton kernels' config table: what it searches, checks and writes, in Triton's
interpreter and by a made-up clock.
"""

import json

import pytest

from benchmarks.gpu import tune
from benchmarks.measure.traffic import Calls
from lrnn_kernels import testing
from tests.backends.triton.cases import DEVICE

pytestmark = pytest.mark.usefixtures("where")


class Clock:
    """Makes up the time of a call by the row of the table that it runs under; a copy takes a
    second."""

    def __init__(self, seconds):
        self.seconds = seconds

    def prepare(self, call):
        call()
        is_copy = not isinstance(getattr(call, "__self__", None), Calls)
        seconds = 1.0 if is_copy else self.seconds(call.__name__)
        return lambda: seconds


@pytest.fixture
def tuner(monkeypatch):
    """A tuner of the affine family, over tiny values and shapes, for which longer turns and more
    pieces are faster."""
    from lrnn_kernels.triton_kernels.config import CONFIGS

    key = ("affine", "single")
    monkeypatch.setitem(tune.FAMILIES, "affine", ("min_gru",))
    clock = Clock(
        lambda direction: 4.0 / getattr(CONFIGS[key], direction) + (CONFIGS[key].wanted == 8)
    )
    tuner = tune.Tuner(
        True,
        lambda key, config, direction: config.elements == 8,
        clock,
        DEVICE,
    )
    values = {
        "elements": (4, 8),
        "warps": (1,),
        "forward": (8, 16),
        "backward": (4,),
        "enough": (4,),
        "wanted": (8, 16),
        "shortest": (64,),
    }
    tuner.values, tuner.shapes, tuner.check_shape, tuner.rounds = values, [(1, 2, 3)], (1, 3, 2), 2
    return key, tuner


def test_the_tuner_finds_the_fastest(tuner, capsys):
    """... of those that do not spill, and says what it left out."""
    key, tuner = tuner
    before = dict(tuner.table)
    tuner.run([key])
    assert tuner.best == before | {key: before[key]._replace(forward=16, wanted=16)}
    assert tuner.table == before
    assert {x["why"] for x in tuner.left_out} == {"spills"}
    assert all(x["config"].elements == 8 for x in tuner.left_out)
    rows = {(row.config, row.key.direction): row for row in tuner.rows}
    assert rows[tuple(before[key]), "backward"].ratio == 1
    assert rows[tuple(tuner.best[key]), "forward"].share == 1 / (4 / 16)
    tune.print_tables(tuner, [key])
    assert tune.text(tuner.best) in capsys.readouterr().out
    assert json.loads(json.dumps(tuner.as_json()))["chosen"][0]["best"]


def test_the_tuner_leaves_out_what_is_wrong(tuner, monkeypatch):
    key, tuner = tuner
    run = testing.run

    def wrong(call, backend):
        result = run(call, backend)
        return result | {"d_k": result["d_k"] * 1.001} if tuner.table[key].forward == 16 else result

    monkeypatch.setattr(testing, "run", wrong)
    tuner.run([key])
    assert tuner.best[key].forward == 8
    assert "WRONG" in {x["why"] for x in tuner.left_out}
