"""Corridors, or cells of them, in which any action is right."""

import pytest
import torch

from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import horizon
from lrnn_kernels.tasks.horizon import Corridor, Cue
from tests.layers import cases as layers
from tests.systems.horizon.cases import Policy, breaks_at, corridor, one_hot, walked
from tests.systems.horizon.test_decide import INPUTS, counting, latch, random_env


def free(env: Corridor, actions=None) -> Corridor:
    """The same, where what is done before the junction is all the same."""
    cues = [Cue(cue.name, cue.inputs, [None] * len(cue.inputs), cue.answer) for cue in env.cues]
    return Corridor(cues, env.inputs, actions, env.junction, env.shortest)


@pytest.mark.parametrize("name", ["BMRU", "LRU", "BRC", "CMRU", "GRU", "MinGRU", "SRC"])
def test_the_junction_alone_decides(name):
    """Against a plain walk's margins there, for policies of which some break and some do not."""
    for seed in range(4):
        torch.manual_seed(seed)
        policy = Policy(layers.make(name, INPUTS, 6, dtype=torch.float32, batch_first=True))
        torch.nn.init.normal_(policy.head.weight)
        env = random_env(policy, seed)
        _, asked = walked(policy, env, 400)
        for row, verdict in enumerate(horizon.decide(policy, free(env), max_steps=400)):
            known = breaks_at(torch.ones_like(asked), asked, row)
            if asked[:, row].abs().min() > 1e-5:  # a walk of another form may round otherwise
                assert verdict.horizon == known, (seed, row)
            assert verdict.verdict != "proved" or known is None


def test_what_broke_in_the_corridor_is_proved():
    env = corridor(action=1)  # the latch does 0 there
    assert {verdict.verdict for verdict in horizon.decide(latch(), env)} == {"breaks"}
    found = horizon.decide(latch(), free(env))
    assert {verdict.verdict for verdict in found} == {"proved"}
    shown = horizon.trace(latch(), free(env), [1, 7, 50])
    assert shown.walking.isposinf().all()
    assert (shown.asked > 0).all()


def test_some_cells_of_a_period():
    policy = latch()
    with torch.no_grad():
        policy.rnn.weight_ih_l0[1] = torch.tensor([-1.0, -1.0, -1.0, 1.0])
    cues, junction = [Cue("one", one_hot(0), [None], 1)], one_hot(3)[0]
    for actions, verdict in (((0, None), "proved"), ((None, 1), "proved"), ((None, 0), "breaks")):
        (found,) = horizon.decide(policy, Corridor(cues, one_hot(2, 3), actions, junction))
        assert found.verdict == verdict, actions


def test_levels_that_drift():
    """The read-out's threshold is passed in the corridor alone, or at the junction."""
    policy = counting(-0.125, 8.0)
    (asked,) = horizon.decide(policy, free(corridor((1,))), max_steps=1000)
    assert (asked.verdict, asked.how) == ("proved", "drift")
    late = counting(2.0**-10, 1024.0)
    with torch.no_grad():  # in the corridor action 2 comes sooner: at 512.5
        late.head.weight[2, 1], late.head.bias[2] = -512.0, 512.0
    (within,) = horizon.decide(late, corridor((1,)), max_steps=200)
    (without,) = horizon.decide(late, free(corridor((1,))), max_steps=200)
    assert within.how == without.how == "drift"
    assert (within.horizon, without.horizon) == (512.5 * 2**10 + 1, 2**20 + 1)


def test_real_actions_are_not_judged():
    policy = agents.Policy(nn.MinGRU(4, 3, batch_first=True), action_size=2)
    for judge in (
        lambda: horizon.decide(policy, free(corridor())),
        lambda: horizon.trace(policy, free(corridor()), [1]),
    ):
        with pytest.raises(ValueError, match="policy must choose one of several actions, got"):
            judge()


def test_numbers_are_actions_and_nothing_else_is():
    inputs, junction = one_hot(2), one_hot(3)[0]
    cues = [Cue("one", one_hot(0), [None], 1)]
    assert Corridor(cues, inputs, None, junction).actions == (None,)
    (found,) = horizon.decide(Policy(nn.BMRU(4, 3)), Corridor(cues, inputs, None, junction))
    assert found.cue == "one"
    for wrong in (0.5, "left", True):
        with pytest.raises((TypeError, ValueError), match="actions must be"):
            Corridor(cues, inputs, wrong, junction)
    with pytest.raises(TypeError, match="answer must be an int, got NoneType"):
        Cue("one", one_hot(0), [0], None)
