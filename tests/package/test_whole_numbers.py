"""Counts: NumPy's integers are ints wherever ints are, and are kept as ints."""

import dataclasses

import numpy as np
import pytest

from lrnn_kernels import agents, models, nn
from lrnn_kernels.options import integer
from lrnn_kernels.tasks import horizon, t_maze
from lrnn_kernels.tasks.adaptation import MovingTarget


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8])
def test_an_integer_of_any_kind_is_an_int(kind):
    found = integer("count", kind(3))
    assert type(found) is int
    assert found == 3


@pytest.mark.parametrize("x", [True, np.True_, 3.0, np.float64(3), "3", None, np.array([3])])
def test_nothing_else_is(x):
    with pytest.raises(TypeError, match="count must be an int, got"):
        integer("count", x)


def test_too_few():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        integer("count", np.int64(0))


SETTINGS = {
    "PPO": lambda n: agents.PPOSettings(n(6), steps=n(8), epochs=n(2), minibatches=n(2)),
    "DRQN": lambda n: agents.DRQNSettings(n(6), n(2), batch=n(3), capacity=n(64), target=n(5)),
    "ActorCritic": lambda n: agents.ActorCriticSettings(n(6), steps=n(9), window=n(4)),
    "Maze": lambda n: t_maze.Maze(n(4), n(8), corridors=n(2)),
    "Backbone": lambda n: models.BackboneConfig(n(3), n(2), "BMRU", width=n(8), conv=n(4)),
    "Layer": lambda n: models.Layer("BMRU", n(4)),
    "Cue": lambda n: horizon.Cue("one", t_maze.LAB.corridor().cues[0].inputs[:1], [n(1)], n(2)),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_hold_plain_numbers(what):
    """Which JSON and torch.save with weights_only take."""

    def kinds(x) -> set[type]:
        if isinstance(x, (list, tuple)):
            return set().union(*map(kinds, x))
        return {type(x)}

    made = SETTINGS[what](np.int64)
    found = set().union(*(kinds(getattr(made, f.name)) for f in dataclasses.fields(made)))
    assert np.int64 not in found
    if what != "Cue":  # which holds a tensor
        assert made == SETTINGS[what](int)


def test_layers_environments_and_networks_take_them():
    n = np.int64
    assert type(nn.BMRU(n(3), n(8), n(2)).hidden_size) is int
    policy = agents.Policy(nn.MinGRU(n(4), n(8), batch_first=True), n(4), hidden=n(6))
    assert [type(size) for size in (policy.actions, policy.head[0].out_features)] == [int, int]
    assert MovingTarget(n(2), seed=n(1), steps=n(3)).reset().shape[0] == 2
