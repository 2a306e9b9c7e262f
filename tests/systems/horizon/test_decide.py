"""decide against a plain walk, and on policies whose horizon is known by hand."""

import math

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.tasks import horizon, t_maze
from lrnn_kernels.tasks.horizon import Corridor, Cue
from tests import ROOT
from tests.layers import cases as layers
from tests.systems.horizon.cases import (
    Opaque,
    Policy,
    breaks_at,
    corridor,
    one_hot,
    walked,
)
from tests.systems.multistability import cases as networks

WALKED = 1000
INPUTS = 3


def random_env(policy, seed: int, period: int = 1) -> Corridor:
    """Cues of one to three inputs; what is right is what the policy does after some steps, so that
    verdicts of every kind come out."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    cues = [Cue(f"{i}", draw(i + 1, INPUTS), [0] * (i + 1), 0) for i in range(3)]
    inputs, junction = draw(period, INPUTS), draw(INPUTS)
    dtype = next(policy.parameters()).dtype
    right = []
    with torch.no_grad():
        for cue in cues:
            state, own = None, []
            for x in cue.inputs.to(dtype):
                logits, state = policy.step(x[None], state)
                own.append(int(logits.argmax()))
            for t in range(40):
                logits, state = policy.step(inputs[t % period].to(dtype)[None], state)
            asked, _ = policy.step(junction.to(dtype)[None], state)
            right.append(Cue(cue.name, cue.inputs, own, int(asked.argmax())))
        action = int(logits.argmax())
    return Corridor(right, inputs, [action] * period, junction)


def agrees(verdicts, policy, env, steps: int) -> list[str]:
    """Each verdict against the plain walk, whose last bits may be others."""
    walking, asked = walked(policy, env, steps)
    for row, verdict in enumerate(verdicts):
        known = breaks_at(walking, asked, row)
        margin = torch.minimum(walking[:, row], asked[:, row]).double()
        said = verdict.horizon
        if verdict.verdict == "undecided":  # of what comes after it says nothing
            known = known if known is not None and known <= verdict.steps else None
        if said is not None and said > steps:
            said = None
        if known != said:  # then by a hair
            place = min(known or steps, said or steps) - 1
            assert margin[max(place - 1, 0) : place + 1].abs().min() < 1e-4
    return [verdict.verdict for verdict in verdicts]


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("period", [1, 2])
def test_every_network_against_a_plain_walk(name, period):
    torch.manual_seed(7)
    policy = Policy(networks.make(name))
    env = random_env(policy, 3, period)
    found = horizon.decide(policy, env, max_steps=WALKED)
    agrees(found, policy, env, WALKED)
    assert [verdict.cue for verdict in found] == ["0", "1", "2"]


@layers.plain_layers
@pytest.mark.parametrize(("seed", "steps"), [(0, 100_000), (1, 10_000)])
def test_every_layer_against_many_steps(name, seed, steps):
    """In float32, far beyond the steps that it took to decide."""
    policy = Policy(layers.make(name, INPUTS, 6, dtype=torch.float32, batch_first=True))
    torch.manual_seed(seed)
    torch.nn.init.normal_(policy.head.weight)
    env = random_env(policy, seed)
    found = horizon.decide(policy, env, max_steps=2000)
    by_pieces = name not in ("LRU", "SRC", "LSTM")  # whose outputs are not their states
    agrees(found, policy, env, steps if by_pieces else 5000)


def test_verdicts_of_every_kind_came_out_above():
    """Or the tests above would show little."""
    kinds = set()
    for name in ("BMRU", "LRU", "BRC", "CMRU", "GRU"):
        for seed in range(3):
            policy = Policy(layers.make(name, INPUTS, 6, dtype=torch.float32, batch_first=True))
            torch.manual_seed(seed)
            torch.nn.init.normal_(policy.head.weight)
            found = horizon.decide(policy, random_env(policy, seed), max_steps=2000)
            kinds |= {(verdict.verdict, verdict.how) for verdict in found}
    assert {"proved", "breaks"} <= {verdict for verdict, _ in kinds}
    assert {"orbit", "steps"} <= {how for _, how in kinds}


# By hand.


def latch(size: int = 2) -> Policy:
    """Unit 0 holds the cue: +1 after cue 0, -1 after cue 1; unit 1 says whether this is the
    junction."""
    rnn = nn.BMRU(4, size, initial_state="zero", batch_first=True)
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
        rnn.bias_ih_l0.zero_()
        rnn.bias_ih_l0[size:] = 0.5  # thresholds
        rnn.weight_ih_l0[0, :2] = torch.tensor([1.0, -1.0])
        rnn.weight_ih_l0[1] = torch.tensor([-1.0, -1.0, -1.0, 1.0])
    head = torch.nn.Linear(size, 3)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:, :2] = torch.tensor([[0.0, -2.0], [1.0, 1.0], [-1.0, 1.0]])
        head.bias.zero_()
    return Policy(rnn, head)


def test_a_latch_is_proved():
    for policy in (latch(), Opaque(latch())):
        found = horizon.decide(policy, corridor())
        assert [v.verdict for v in found] == ["proved"] * 2
        assert [v.period for v in found] == [1, 1]
        assert found[0].horizon is None
        assert found[0].form == (torch.float32, 4, 1, "step", "floating point")
        assert "proved, period 1" in str(found[0])


def decaying(factor: float, level: float) -> Policy:
    """Unit 0 decays from 1 after cue 0, and from -1 after cue 1; unit 1 shows the junction. Cue 0's
    answer is right while what is left exceeds ``level``."""
    rnn = nn.LRU(4, 2, batch_first=True)
    with torch.no_grad():
        rnn.nu_l0.copy_(torch.tensor([math.log(-math.log(factor)), 5.0]))
        rnn.theta_l0.fill_(-200.0)
        rnn.gamma_l0.zero_()
        rnn.weight_ih_l0.zero_()
        rnn.weight_ih_l0[0, :2] = torch.tensor([1.0, -1.0])
        rnn.weight_ih_l0[1, 3] = 1.0
        rnn.weight_ho_l0.zero_()
        rnn.weight_ho_l0[:, :2] = torch.eye(2)
        rnn.skip_l0.zero_()
    head = torch.nn.Linear(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, -10.0], [1.0, 0.0], [-1.0, 0.0]]))
        head.bias.copy_(torch.tensor([5.0, -level, level]))
    return Policy(rnn, head)


@pytest.mark.parametrize(("factor", "level"), [(0.9, 0.01), (0.99, 0.05), (0.999, 1e-3)])
def test_an_lru_breaks_where_it_has_decayed(factor, level):
    up, down = horizon.decide(decaying(factor, level), corridor())
    assert up.verdict == "breaks"
    assert up.horizon == math.ceil(math.log(level) / math.log(factor))
    assert (down.verdict, down.horizon) == ("proved", None)
    assert down.steps < 10_000  # long before its state could come back


def counting(drift: float, margin: float) -> Policy:
    """A CMRU whose unit 0 counts the corridor's cells by ``drift``, from 0; the junction's answer
    is right while it is below ``margin``. Unit 1 shows the junction."""
    rnn = nn.CMRU(4, 2, initial_state="zero", batch_first=True)
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
        rnn.bias_ih_l0.zero_()
        rnn.bias_ih_l0[2:] = 0.5
        rnn.alpha_l0.copy_(torch.tensor([drift, 1.0]))
        rnn.weight_ih_l0[0, 2] = 1.0
        rnn.weight_ih_l0[1, 3] = 1.0
    head = torch.nn.Linear(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-1.0, -2.0], [-1.0, 0.0], [0.0, 0.0]]))
        head.bias.copy_(torch.tensor([margin + 0.5, margin, 0.0]))
    return Policy(rnn, head)


def test_levels_that_drift_towards_a_boundary_break():
    """At T the count is (T - 1) drift, and must be below the margin."""
    (near,) = horizon.decide(counting(2.0**-4, 8.0), corridor((1,)))
    assert (near.verdict, near.horizon, near.how) == ("breaks", 129, "steps")
    (far,) = horizon.decide(counting(2.0**-10, 1024.0), corridor((1,)), max_steps=1000)
    assert (far.verdict, far.horizon, far.how) == ("breaks", 2**20 + 1, "drift")
    assert far.form.arithmetic == "exact"
    assert far.steps < 1100


def test_levels_that_drift_away_never_break():
    (found,) = horizon.decide(counting(-0.125, 8.0), corridor((1,)), max_steps=1000)
    assert (found.verdict, found.how, found.form.arithmetic) == ("proved", "drift", "exact")


def test_a_corridor_of_two_kinds_of_cells():
    """Which action is right alternates; the latch's unit 1 shows which cell it is."""
    policy = latch()
    with torch.no_grad():
        policy.rnn.weight_ih_l0[1] = torch.tensor([-1.0, -1.0, -1.0, 1.0])
    env = Corridor([Cue("one", one_hot(0), [0], 1)], one_hot(2, 3), [0, 1], one_hot(3)[0])
    (found,) = horizon.decide(policy, env)
    assert (found.verdict, found.period) == ("proved", 2)
    wrong = Corridor(env.cues, env.inputs, [0, 0], env.junction)
    (found,) = horizon.decide(policy, wrong)
    assert (found.verdict, found.horizon) == ("breaks", 3)


def test_a_chaotic_gru_is_undecided():
    """Its action never changes, but nothing proves that it will not."""
    torch.manual_seed(0)
    rnn = torch.nn.GRU(4, 64, batch_first=True)
    with torch.no_grad():
        rnn.weight_hh_l0.normal_(std=2.0)
    policy = Policy(rnn)
    with torch.no_grad():
        policy.head.weight.mul_(1e-3)
        policy.head.bias.copy_(torch.tensor([10.0, 0.0, 0.0]))
    for found in horizon.decide(policy, corridor((0, 0)), max_steps=2000):
        assert (found.verdict, found.steps, found.period) == ("undecided", 2000, None)


class Damaged(torch.nn.Module):
    """Wrong at one horizon, for its state counts the steps."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.inner, self.at = latch(), at
        self.rnn, self.head = self.inner.rnn, self.inner.head

    def step(self, x, state=None):
        h, count = (None, x.new_zeros(len(x))) if state is None else state
        logits, h = self.inner.step(x, h)
        return torch.where((count == self.at)[:, None], -logits, logits), (h, count + 1)


class DamagedByItsState(Policy):
    """As its parts are, but for one state."""

    def step(self, x, state=None):
        logits, after = super().step(x, state)
        if state is None:
            return logits, after
        near = (state[0, :, 0].abs() - 0.9**150).abs() < 1e-9
        return torch.where(near[:, None], -logits, logits), after


def test_damage_at_one_horizon_is_caught():
    for at in (1, 63, 64, 777, 5000):
        found = horizon.decide(Damaged(at), corridor(), max_steps=6000)
        assert [(v.verdict, v.horizon) for v in found] == [("breaks", at)] * 2
    whole = decaying(0.9, -1.0)  # never wrong by its parts, after cue 0
    assert horizon.decide(whole, corridor())[0].verdict == "proved"
    found = horizon.decide(DamagedByItsState(whole.rnn, whole.head), corridor())
    assert (found[0].verdict, found[0].horizon) == ("breaks", 151)


def test_horizons_below_the_shortest_do_not_count():
    policy = decaying(0.9, 0.01)
    env = corridor((2, 2), shortest=60)  # cue 0's first right at 44 cells, when it has decayed
    with torch.no_grad():
        policy.head.bias.copy_(torch.tensor([5.0, -0.01, 0.01]))
    assert horizon.decide(policy, corridor((2, 2)))[0].horizon == 1
    found = horizon.decide(policy, env)
    assert [v.verdict for v in found] == ["proved", "proved"]
    late = horizon.decide(decaying(0.9, 0.01), corridor((1, 2), shortest=60))
    assert [(v.verdict, v.horizon) for v in late] == [("breaks", 60), ("proved", None)]


def test_a_tie_and_a_nan_are_no_choice():
    policy = latch()
    with torch.no_grad():
        policy.head.weight[2] = policy.head.weight[1]
    assert [v.verdict for v in horizon.decide(policy, corridor())] == ["breaks"] * 2
    with torch.no_grad():
        policy.head.bias.fill_(math.nan)
    assert [v.horizon for v in horizon.decide(policy, corridor())] == [1, 1]


def test_a_wrong_action_at_a_cue_breaks_all_horizons():
    env = corridor()
    cues = [Cue("bad", one_hot(0), [1], 1), env.cues[1]]
    found = horizon.decide(latch(), Corridor(cues, env.inputs, env.actions, env.junction))
    assert [(v.verdict, v.horizon) for v in found] == [("breaks", 1), ("proved", None)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype):
    found = horizon.decide(latch().to(dtype), corridor())
    assert {(v.verdict, v.form.dtype) for v in found} == {("proved", dtype)}


def test_hidden_layers_of_the_read_out():
    for activation, breaks in ((torch.nn.ReLU(), 299), (torch.nn.Tanh(), 298)):
        policy = decaying(0.99, 0.05)
        first = torch.nn.Linear(2, 2)
        with torch.no_grad():
            first.weight.copy_(torch.eye(2))
            first.bias.zero_()
        policy.head = torch.nn.Sequential(first, activation, policy.head)
        up, down = horizon.decide(policy, corridor())
        walking, asked = walked(policy, corridor(), 4000)
        assert breaks_at(walking, asked, 0) == up.horizon == breaks
        assert (down.verdict, down.how) == ("proved", "channels")


def test_t_mazes_have_their_corridors():
    env = t_maze.LAB.corridor()
    assert [cue.name for cue in env.cues] == ["up", "down"]
    assert (env.actions, env.shortest) == ((t_maze.RIGHT,), 5)
    flashes = t_maze.FLASHES.corridor()
    assert [cue.name for cue in flashes.cues][::5] == ["up, gap 2", "down, gap 9"]
    assert [len(cue.inputs) for cue in flashes.cues] == [3, 4, 5, 8, 9, 10]
    left = t_maze.active(30).corridor()
    assert left.cues[1].inputs.argmax(1).tolist() == [t_maze.CORRIDOR, t_maze.DOWN_CUE]
    assert left.cues[1].actions == (t_maze.LEFT, t_maze.RIGHT)
    with pytest.raises(ValueError, match="corridors must be 1 to have one corridor, got 3"):
        t_maze.consecutive(3).corridor()


@pytest.mark.parametrize("maze", [t_maze.LAB, t_maze.FLASHES, t_maze.active(9)])
def test_a_corridor_is_what_the_environment_shows(maze):
    """The optimal walk of every episode is what the corridor asks for."""
    env, shown = t_maze.TMaze(maze, 64, seed=0), maze.corridor()
    seen, done, done_what = [env.reset()], [], []
    for _ in range(60):
        if env.done.all():
            break
        action = torch.where(env.done, 0, env.optimal())
        done_what.append(action)
        done.append(env.done.clone())
        seen.append(env.step(action, env.done).observation)
    for i in range(64):
        length = next((t for t, over in enumerate(done) if over[i]), len(done))
        inputs = [seen[t][i].argmax().item() for t in range(length)]
        actions = [done_what[t][i].item() for t in range(length)]
        fits = []
        for cue in shown.cues:
            start = cue.inputs.argmax(1).tolist()
            T = length - len(start)
            whole = start + [t_maze.CORRIDOR] * (T - 1) + [t_maze.JUNCTION]
            right = list(cue.actions) + [t_maze.RIGHT] * (T - 1) + [cue.answer]
            fits.append(inputs == whole and actions == right and shown.shortest <= T)
        assert sum(fits) == 1


def test_the_policy_is_left_as_it_was():
    policy = Policy(nn.Stack(nn.GRU(4, 3, 2, dropout=0.5), nn.BMRU(3, 3)))
    policy.train()
    policy.head.eval()
    before = {name: p.clone() for name, p in policy.named_parameters()}
    threads = torch.get_num_threads()
    horizon.decide(policy, corridor(), max_steps=100)
    assert [m.training for m in policy.modules()].count(False) == 1
    assert torch.get_num_threads() == threads
    assert all(torch.equal(p, before[name]) for name, p in policy.named_parameters())
    assert all(p.grad is None for p in policy.parameters())


def test_the_same_again():
    torch.manual_seed(0)
    policy = Policy(nn.Stack(nn.LRU(4, 8), nn.BMRU(8, 8)))
    assert horizon.decide(policy, corridor()) == horizon.decide(policy, corridor())


def test_the_documents_example_runs(capsys):
    section = (ROOT / "docs/horizon.md").read_text()
    example = section.split("```python")[1].split("```")[0]
    torch.manual_seed(0)
    exec(compile(example, "horizon.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == ["up: proved", "down: proved"]
