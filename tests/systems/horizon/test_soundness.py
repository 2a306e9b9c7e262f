"""Policies that break late, and look as if they never would."""

import math

import numpy as np
import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.nn import members
from lrnn_kernels.tasks import horizon
from lrnn_kernels.tasks.horizon import channels
from lrnn_kernels.tasks.horizon.boxes import Box
from tests.systems.horizon.cases import Opaque, Policy, breaks_at, corridor, walked
from tests.systems.horizon.test_decide import counting, decaying


def decided(policy, env=None, **options):
    """The verdict of the first cue, which must break where a plain walk does."""
    env = env or corridor((1,))
    found = horizon.decide(policy, env, **options)[0]
    walking, asked = walked(policy, env, 4000)
    assert found.horizon == breaks_at(walking, asked, 0)
    assert found.verdict == "breaks"
    return found


# A channel that comes back.


def fading(size: int = 1) -> nn.LRU:
    """1 after cue 0, and then less and less, until it is 0."""
    layer = nn.LRU(4, size)
    with torch.no_grad():
        for q in layer.parameters():
            q.zero_()
        layer.nu_l0.fill_(math.log(-math.log(0.7)))
        layer.theta_l0.fill_(-200.0)
        layer.weight_ih_l0[0, 0] = 1.0
        layer.weight_ho_l0[:, 0] = 1.0
    return layer


@pytest.mark.parametrize("kind", [nn.CMRU, nn.AlphaCMRU, nn.BMRU])
@pytest.mark.parametrize("turns", [1e-20, 1e-30, 1e-36])
@pytest.mark.parametrize("between", [False, True])
def test_what_was_done_under_other_inputs_does_not_come_back(kind, turns, between):
    """Levels fall while what they read is above a number, and then rise for good: past all that
    they were at."""
    options = {"eps": 1.0} if kind is nn.BMRU else {}
    above = kind(1, 1, initial_state="zero", **options)
    with torch.no_grad():
        for q in above.parameters():
            q.zero_()
        above.weight_ih_l0[0] = -1.0
        above.bias_ih_l0[0] = turns
        if kind is nn.AlphaCMRU:
            above.bias_ih_l0[2] = 1.0
        else:
            above.alpha_l0.fill_(1.0)
    layers = [fading(), above]
    if between:  # the same state, seen through a Parallel
        layers = [nn.Parallel(fading(), merge="sum"), above]
    policy = Policy(nn.Stack(*layers))
    with torch.no_grad():
        policy.head.weight.copy_(torch.tensor([[0.0], [1.0], [0.0]]))
        policy.head.bias.copy_(torch.tensor([0.0, -300.0, -1000.0]))
    found = decided(policy, corridor((0,)), max_steps=2000)
    assert found.how == "steps"


def test_channels_come_back_together_only_where_all_were_seen_to():
    box = Box(np.zeros(2), np.ones(2))

    def joint(periods, spans):
        return channels.Signal(np.array(periods), np.array(spans), box).joint

    assert joint([2, 3], [4, 300]) == 0  # of the 6 to come, 2 steps were under what is no more
    assert joint([2, 3], [6, 300]) == 6
    assert joint([2, 0], [6, 300]) == 0


def test_returns_are_those_of_inputs_that_had_their_period():
    raw = np.array([5, 7, 8, 9, 8, 7, 8, 7, 8])[:, None, None]
    assert [int(x[0]) for x in channels._returns(raw, 1, 9)] == [2, 5]
    assert [int(x[0]) for x in channels._returns(raw, 1, 1)] == [0, 0]
    assert [int(x[0]) for x in channels._returns(raw, 3, 5)] == [0, 0]
    assert [int(x[0]) for x in channels._returns(raw, 3, 6)] == [6, 8]
    assert [int(x[0]) for x in channels._returns(raw, 0, 9)] == [0, 0]
    constant = np.zeros((9, 1, 1))
    assert [int(x[0]) for x in channels._returns(constant, 1, 9)] == [1, 9]


# What floating point makes of very small and very large numbers.


def test_products_that_underflow_are_ties():
    """A state falls from 2e-20 to half of 1e-20, and what is read of it to half of the smallest
    number above 0."""
    rnn = nn.MinGRU(4, 1, batch_first=True)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(torch.tensor([[20.0, 0.0, 0.0, 0.0], [2e-20, 0.0, 0.0, 0.0]]))
        rnn.weight_ih_l0[1, 2] = 0.5e-20
        rnn.bias_ih_l0.copy_(torch.tensor([-7.0, 0.0]))
    policy = Policy(rnn)
    with torch.no_grad():
        policy.head.weight.copy_(torch.tensor([[0.0], [1e-25], [0.0]]))
        policy.head.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    env = corridor((1,), action=1)
    env = horizon.Corridor(
        [horizon.Cue("small", env.cues[0].inputs, [1], 1)], env.inputs, 1, env.junction
    )
    assert decided(policy, env).horizon > 500


def test_states_that_overflow_are_no_number():
    """A state that goes to 1e39 is infinite in float32, and then NaN, which no Tanh bounds."""
    rnn = nn.LRU(4, 1, batch_first=True)
    with torch.no_grad():
        for q in rnn.parameters():
            q.zero_()
        rnn.nu_l0.fill_(math.log(1e-4))
        rnn.theta_l0.fill_(-200.0)
        rnn.weight_ih_l0[0] = 2e35
        rnn.weight_ho_l0[0, 0] = 1.0
    head = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh(), torch.nn.Linear(1, 3))
    with torch.no_grad():
        head[2].bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    assert decided(Policy(rnn, head), corridor((0,)), max_steps=20_000).horizon > 1000


@pytest.mark.parametrize("reduced", ["autocast", "bf16", "tf32"])
def test_bounds_are_not_those_of_products_in_fewer_bits(reduced):
    policy = decaying(0.9, -1.0)
    assert horizon.decide(policy, corridor())[0].how == "channels"
    if reduced == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = horizon.decide(policy, corridor(), max_steps=500)
    else:
        matmul, before = torch.backends.mkldnn.matmul, torch.backends.mkldnn.matmul.fp32_precision
        matmul.fp32_precision = reduced
        try:
            found = horizon.decide(policy, corridor(), max_steps=500)
        finally:
            matmul.fp32_precision = before
    assert found[0].how != "channels"


# Steps, layers and read-outs that do more than their kind.

FAINT = 1e-30  # where 0.9^t is, after 656 steps


def spoiled(x):
    """Outputs, the first of which says the contrary once it is faint."""
    return torch.where(x[..., :1].abs() < FAINT, torch.full_like(x, -9.0), x)


class Spoiling(torch.nn.Linear):
    def forward(self, x):
        return super().forward(spoiled(x))


class Fading(nn.LRU):
    def _read_out(self, y, x, p):
        return spoiled(super()._read_out(y, x, p))


class Stepping(nn.LRU):
    def step(self, x, state=None, reset=None):
        out, state = super().step(x, state, reset)
        return spoiled(out), state


def subclassed(kind):
    def change(policy):
        rnn = kind(4, 2, batch_first=True)
        rnn.load_state_dict(policy.rnn.state_dict())
        policy.rnn = rnn

    return change


def reading(policy):
    head = Spoiling(2, 3)
    head.load_state_dict(policy.head.state_dict())
    policy.head = head


CHANGES = {
    "a read-out's class": reading,
    "a read-out's hook": lambda p: p.head.register_forward_pre_hook(lambda m, x: (spoiled(x[0]),)),
    "a layer's class": subclassed(Fading),
    "a layer's step": subclassed(Stepping),
    "a layer's hook": lambda p: p.rnn.register_forward_hook(lambda m, x, o: (spoiled(o[0]), o[1])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_its_kind_is_not_bound_as_it(change):
    policy = decaying(0.9, -1.0)
    assert horizon.decide(policy, corridor())[0].verdict == "proved"
    CHANGES[change](policy)
    found, whole = (
        horizon.decide(p, corridor(), max_steps=1000)[0] for p in (policy, Opaque(policy))
    )
    assert (found.verdict, found.horizon) == (whole.verdict, whole.horizon)
    assert (found.verdict, found.horizon) == ("breaks", 656)


class Held(Policy):
    """Its levels go no further than 200."""

    def step(self, x, state=None):
        logits, state = super().step(x, state)
        return logits, state.clamp(-200.0, 200.0)


def test_states_that_the_step_changes_are_seen():
    """Its layer's levels would drift for ever, and break; the policy's come to a halt."""
    policy = counting(1.0, 1000.0)
    assert horizon.decide(policy, corridor((1,)), max_steps=100)[0].horizon == 1001
    found = horizon.decide(Held(policy.rnn, policy.head), corridor((1,)), max_steps=100)[0]
    assert (found.verdict, found.horizon) == ("undecided", None)


class Encoding(Policy):
    """Reads its observation by a layer of its own, and its input beside its outputs."""

    def __init__(self, before, rnn, head, beside) -> None:
        super().__init__(rnn, head)
        self.before, self.beside = before, beside

    def step(self, x, state=None):
        x = self.before(x)
        out, state = members.step(self.rnn, x, state, None)
        dtype = self.head.weight.dtype
        return self.head(torch.cat([out, x], 1).to(dtype) if self.beside else out.to(dtype)), state


@pytest.mark.parametrize(
    ("before", "rnn", "head", "beside"),
    [
        (torch.nn.Linear(4, 7), nn.BMRU(7, 5), torch.nn.Linear(5, 3), False),
        (torch.nn.Identity(), nn.BMRU(4, 5), torch.nn.Linear(9, 3), True),
        (torch.nn.Identity(), nn.BMRU(4, 5), torch.nn.Linear(5, 3).double(), False),
        (torch.nn.Identity(), torch.nn.LSTM(4, 5), torch.nn.Linear(9, 3), True),
    ],
)
def test_policies_that_do_more_than_their_parts_are_followed_as_a_whole(before, rnn, head, beside):
    policy = Encoding(before, rnn, head, beside)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    policies = policy, Opaque(policy)
    found, whole = (horizon.decide(p, corridor((0, 0)), max_steps=500) for p in policies)
    assert found == whole
