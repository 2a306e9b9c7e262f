"""The T-maze as an environment: its rules beside a maze walked by hand, its draws, its errors."""

import pytest
import torch

from lrnn_kernels.tasks import hashed, t_maze
from lrnn_kernels.tasks.t_maze import DOWN, LEFT, RIGHT, UP, Maze, TMaze

MAZES = {
    "lab": t_maze.LAB,
    "flashes": t_maze.FLASHES,
    "passive": t_maze.passive(7),
    "active": t_maze.active(7),
    "consecutive": t_maze.consecutive(3, 2, 4),
    "noise": Maze(2, 6, noise=0.3),
    "other rewards": Maze(1, 3, right=2.0, wrong=-1.0, bump=-0.5, late=-0.25),
}
every_maze = pytest.mark.parametrize("name", MAZES)


class ByHand:
    """One maze, walked one cell at a time, from what ``TMaze`` drew for it."""

    def __init__(self, env: TMaze, number: int):
        self.maze = env.maze
        self.shows, self.arms = env.shows[number].tolist(), env.arms[number].tolist()
        self.position = self.start = 1 if self.maze.cue == "left" else 0
        self.last = max(cell for cell, arm in enumerate(self.arms) if arm != -1)
        self.elapsed = 0
        self.limit = 3 * self.last - 1
        if self.maze.limit == "shortest path":
            self.limit = self.last + 1 + (1 if self.maze.cue == "left" else 0)

    def step(self, action: int) -> tuple[float, bool, bool]:
        maze, before, reward, over = self.maze, self.position, 0.0, False
        arm = self.arms[self.position]
        took = arm != -1 and action in (UP, DOWN)
        if took and action != arm:
            reward, over = maze.wrong, True
        elif took:
            reward, over = maze.right, self.position == self.last
            self.position += not over
        elif action == RIGHT and arm == -1:
            self.position += 1
        elif action == LEFT and self.position > 0:
            self.position -= 1
        if self.position == before and not took:
            reward = maze.bump
        self.elapsed += 1
        free = 2 if maze.cue == "left" else 0
        if not took and self.position - self.start < self.elapsed - free:
            reward += maze.late
        return reward, over, not over and self.elapsed >= self.limit


@every_maze
def test_rules(name):
    """Random walks that mostly go on, episode after episode."""
    torch.manual_seed(0)
    env = TMaze(MAZES[name], 16, seed=3)
    observation = env.reset()
    hands = [ByHand(env, i) for i in range(16)]
    for _ in range(60):
        for i, hand in enumerate(hands):
            expected = torch.zeros(env.observation_size)
            shows = hand.shows[hand.position]
            if shows < env.observation_size:
                expected[shows] = 1
            else:  # both cues
                pair = shows - env.observation_size
                expected[pair // 2] = expected[4 + pair % 2] = 1
            assert torch.equal(observation[i], expected)
        odd = torch.rand(16) < 0.4
        action = torch.where(odd, torch.randint(4, (16,)), env.optimal())
        acted = env._moved(action) if env.maze.noise else action
        observation, reward, terminated, truncated = env.step(action)
        for i, hand in enumerate(hands):
            wanted = hand.step(int(acted[i]))
            assert reward[i].item() == pytest.approx(wanted[0])
            assert (bool(terminated[i]), bool(truncated[i])) == wanted[1:]
        if (over := terminated | truncated).any():
            observation = env.reset(over)
            hands = [ByHand(env, i) if over[i] else hand for i, hand in enumerate(hands)]


@pytest.mark.parametrize("name", [name for name, maze in MAZES.items() if not maze.noise])
def test_the_shortest_walk_is_the_best(name):
    maze = MAZES[name]
    env = TMaze(maze, 64, seed=1)
    env.reset()
    gain, steps, lasts = torch.zeros(64), torch.zeros(64, dtype=torch.int64), env.last.clone()
    going = torch.ones(64, dtype=torch.bool)
    while going.any():
        done = env.done.clone()
        _, reward, terminated, truncated = env.step(env.optimal(), done)
        gain += reward * going
        steps += going
        assert not (truncated & going).any()
        going &= ~terminated
    assert torch.equal(steps, lasts + 1 + (maze.cue == "left"))
    torch.testing.assert_close(gain, torch.full((64,), maze.right * maze.corridors))


def test_cues_decide():
    """Observations say all there is to know of the arm; lengths and cues are even."""
    env = TMaze(t_maze.consecutive(2, 1, 3), 3000, seed=0)
    seen = env.reset()
    sigma, own = seen[:, :2].argmax(1), seen[:, 4:].argmax(1)
    length = torch.zeros(3000, dtype=torch.int64)
    while not (seen[:, t_maze.JUNCTION] == 1).all():
        at = seen[:, t_maze.JUNCTION] == 1
        length += ~at
        before = env.get_state()
        env.step(torch.full((3000,), RIGHT))
        after = env.get_state()
        for key, x in before.items():  # those at the junction wait
            after[key][at] = x[at]
        seen = env.set_state(after)
    assert torch.equal(env.optimal(), torch.where(sigma == own, UP, DOWN))
    for x, count in ((sigma, 2), (own, 2), (length - 1, 3)):
        share = x.bincount(minlength=count) / 3000
        assert (share - 1 / count).abs().max() < 0.04
    assert (2 * sigma + own).bincount().min() > 600


@every_maze
def test_a_maze_is_the_same_in_any_batch(name):
    torch.manual_seed(0)
    env = TMaze(MAZES[name], 9, seed=40)
    alone = TMaze(MAZES[name], 1, seed=44)
    assert torch.equal(env.reset()[4:5], alone.reset())
    for _ in range(50):
        action = torch.randint(4, (9,))
        whole = env.step(action, env.done)
        single = alone.step(action[4:5], alone.done)
        for one, many in zip(single, whole, strict=True):
            assert torch.equal(one, many[4:5])


@every_maze
def test_state_goes_back(name):
    torch.manual_seed(0)
    env, other = TMaze(MAZES[name], 5, seed=4), TMaze(MAZES[name], 5, seed=9)
    env.reset()
    actions = torch.randint(4, (40, 5))
    for action in actions[:10]:
        env.step(action, env.done)
    state = env.get_state()
    first = [env.step(action, env.done) for action in actions]
    other.set_state(state)
    again = [other.step(action, other.done) for action in actions]
    for one, two in zip(first, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_seeds():
    env = TMaze(t_maze.LAB, 200, seed=7)
    env.reset()
    first = env.shows.clone()
    env.reset()
    assert not torch.equal(env.shows, first)  # the next episode of each
    env.reseed(7)
    env.reset()
    assert torch.equal(env.shows, first)
    env.reseed(torch.arange(200) + 7)
    env.reset()
    assert torch.equal(env.shows, first)
    state = torch.get_rng_state()
    env.reset()
    assert torch.equal(torch.get_rng_state(), state)
    assert int(first.sum()) == 8306  # another value is another maze, for all who compare


def test_hashed_numbers():
    drawn = hashed.bits(torch.arange(100_000), 5)
    assert drawn.min() >= 0
    assert len(drawn.unique()) == 100_000
    assert hashed.unit(drawn).mean().item() == pytest.approx(0.5, abs=0.005)
    assert hashed.unit(drawn).var().item() == pytest.approx(1 / 12, rel=0.02)
    for high in (2, 7, 1000):
        counts = hashed.below(high, drawn).bincount(minlength=high).double()
        assert len(counts) == high
        expected = 100_000 / high
        assert ((counts - expected) ** 2 / expected).sum() < high + 6 * high**0.5
    near = hashed.bits(torch.arange(100_000), 6)
    both = torch.stack([hashed.unit(drawn), hashed.unit(near), hashed.unit(drawn.roll(1))])
    assert (torch.corrcoef(both) - torch.eye(3)).abs().max() < 0.015
    assert int(hashed.bits(1, 2, 3)) == 8058178252673074585


def test_an_episode_that_is_over_needs_a_reset():
    env = TMaze(Maze(2, 2), 3, seed=0)
    with pytest.raises(RuntimeError, match=r"step needs reset: episodes are over in mazes \[0, 1"):
        env.step(torch.zeros(3, dtype=torch.int64))
    env.reset()
    for _ in range(2):
        env.step(torch.full((3,), RIGHT))
    over = env.step(torch.tensor([LEFT, UP, DOWN]))
    assert over.terminated.tolist() == [False, True, True]
    with pytest.raises(RuntimeError, match=r"over in mazes \[1, 2\]"):
        env.step(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(RuntimeError, match=r"over in mazes \[2\]"):
        env.step(torch.zeros(3, dtype=torch.int64), torch.tensor([False, True, False]))
    env.reset(torch.tensor([False, True, True]))
    env.step(torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        ([0, 0], TypeError, "action must be a tensor, got list"),
        (
            torch.zeros(2),
            ValueError,
            r"action must be torch.int64 of shape \(2,\), got torch.float",
        ),
        (torch.zeros(3, dtype=torch.int64), ValueError, r"of shape \(2,\), got .* \(3,\)"),
        (torch.tensor([0, 4]), ValueError, "action must be 0 ... 3, got 0 to 4"),
        (torch.tensor([-1, 0]), ValueError, "action must be 0 ... 3, got -1 to 0"),
    ],
)
def test_wrong_actions_are_refused(action, error, message):
    env = TMaze(t_maze.LAB, 2, seed=0)
    env.reset()
    before = env.get_state()
    with pytest.raises(error, match=message):
        env.step(action)
    assert all(torch.equal(x, before[name]) for name, x in env.get_state().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shortest": 0}, "shortest must be at least 1, got 0"),
        ({"shortest": 5, "longest": 4}, "longest must be at least 5, got 4"),
        ({"cue": "hidden"}, "cue must be one of 'shown', 'flashes', 'left', got 'hidden'"),
        ({"cue": "left", "corridors": 2}, "corridors must be 1 where cue='left', got 2"),
        ({"noise": 1.5}, "noise must be"),
        ({"limit": "none"}, "limit must be one of"),
    ],
)
def test_wrong_mazes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Maze(**arguments)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="maze must be a Maze, got str"):
        TMaze("lab")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        TMaze(t_maze.LAB, 0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        TMaze(t_maze.LAB, 1, seed=-1)
    with pytest.raises(ValueError, match=r"seed must be below 2\^62, got 9223372036854775808"):
        TMaze(t_maze.LAB, 1, seed=2**63)
    env = TMaze(t_maze.LAB, 2)
    with pytest.raises(ValueError, match=r"mask must be torch.bool of shape \(2,\)"):
        env.reset(torch.tensor([True]))
    with pytest.raises(ValueError, match="state must have the keys seed, episode"):
        env.set_state({})
    with pytest.raises(ValueError, match=r"state\['seed'\] must be torch.int64 of shape \(2,\)"):
        env.set_state(TMaze(t_maze.LAB, 3).get_state())


@pytest.mark.parametrize(
    "maze",
    [t_maze.LAB, t_maze.FLASHES, t_maze.passive(7), t_maze.active(7), t_maze.consecutive(3, 2, 6)],
)
def test_walks_are_what_an_optimal_agent_sees_and_does(maze):
    env = t_maze.TMaze(maze, 32, seed=3)
    observation = env.reset()
    batch = t_maze.walks(env)
    for t in range(batch.mask.shape[1]):
        live = ~env.done
        assert torch.equal(batch.mask[:, t], live)
        assert torch.equal(batch.inputs[live, t], observation[live])
        action = torch.where(env.done, 0, env.optimal())
        assert torch.equal(batch.targets[live, t], action[live])
        if not live.any():
            break
        # A maze that is over begins anew, which the walks know nothing of.
        before = env.get_state()
        observation = env.step(action, env.done).observation
        over = {name: x.clone() for name, x in env.get_state().items()}
        for name, x in over.items():
            x[~live] = before[name][~live]
        observation = env.set_state(over)
    assert env.done.all()


@every_maze
def test_episodes_that_are_drawn_ahead_are_those_that_come(name, monkeypatch):
    """Also after more of them than are drawn at once, another seed, and an earlier state."""
    env = TMaze(MAZES[name], 3, seed=5)
    assert env._most_ahead == 32
    monkeypatch.setattr("lrnn_kernels.tasks.t_maze.environment._AHEAD_CELLS", 0)
    other = TMaze(MAZES[name], 3, seed=5)
    assert other._most_ahead == 0

    def same(mask=None) -> None:
        assert torch.equal(env.reset(mask), other.reset(mask))
        one, two = env.get_state(), other.get_state()
        assert all(torch.equal(one[key], two[key]) for key in one)

    kept = None
    for round_ in range(70):
        same(torch.tensor([True, round_ % 2 == 0, round_ % 7 == 0]) if round_ else None)
        kept = env.get_state() if round_ == 20 else kept
    for each in (env, other):
        each.set_state(kept)
    same(torch.tensor([False, True, True]))
    for each in (env, other):
        each.reseed(6)
    same()
    assert (TMaze(MAZES[name], 10**4, seed=0)._most_ahead) == 0
