"""The T-maze as an environment: many at once, as tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...options import integer
from .. import hashed
from .cells import CORRIDOR, DOWN, GAPS, JUNCTION, LEFT, LOCAL_UP, RIGHT, UP
from .maze import DETOUR, LAB, Maze

ACTIONS = 4
_NO_ARM = -1
_SEEDS = 2**62  # below it, seed + i is an int64

#: Episodes of each maze that are drawn ahead, where so many cells of all do not exceed the last.
_LEAST_AHEAD, _MOST_AHEAD, _AHEAD_CELLS = 4, 32, 2**17

# What a draw is for: each has numbers of its own.
_CUE, _LENGTH, _LOCAL, _NOISE = range(4)


class Step(NamedTuple):
    """What B mazes answer to an action."""

    observation: Tensor  # (B,4), or (B,6) with several corridors, float32
    reward: Tensor  # (B,), float32
    terminated: Tensor  # (B,), bool: an arm was taken that ends the episode
    truncated: Tensor  # (B,), bool: the limit was reached before


class TMaze:
    """B mazes that are walked at once: ``observation = env.reset()``, then
    ``observation, reward, terminated, truncated = env.step(action)``.

    An observation says what the agent's cell shows. RIGHT and LEFT move along the corridor, UP and
    DOWN take an arm at the junction; all else is a bump, and leaves the agent where it is. Maze i
    draws from ``seed + i`` and from nothing else, so that its episodes are the same in any batch,
    and the same bits on any machine.

    Args:
        maze: which; the lab's by default.
        batch_size: B.
        seed: an integer; a random one if None.

    Episodes that are over stay where they are until ``reset(mask)``, and ``step`` raises
    RuntimeError while there are any. Raises TypeError or ValueError, naming the argument, for
    actions that are no integers (B,) of 0 ... 3.
    """

    actions = ACTIONS

    def __init__(self, maze: Maze = LAB, batch_size: int = 1, *, seed: int | None = None) -> None:
        if not isinstance(maze, Maze):
            raise TypeError(f"maze must be a Maze, got {type(maze).__name__}")
        integer("batch_size", batch_size)
        self.maze, self.batch_size = maze, batch_size
        self.observation_size = maze.observation_size
        self.seed = torch.empty(batch_size, dtype=torch.int64)
        self.episode = torch.empty(batch_size, dtype=torch.int64)
        self._shown = _shown(self.observation_size)
        self._rows = torch.arange(batch_size)
        #: What an episode draws: what for, which one of these, and below which number, (K,1) each.
        self._draws, highs = zip(*_draws(maze).items(), strict=True)
        self._what, self._numbers = torch.tensor(self._draws).T[..., None]
        self._highs = torch.tensor(highs)[:, None]
        longest = max(GAPS[DOWN]) if maze.cue == "flashes" else int(maze.cue == "left")
        self._cells = longest + maze.corridors * (maze.longest + 1)
        shape = (batch_size, self._cells)
        #: Episodes that are drawn already, from a number on, (B,) each; none where many mazes, or
        #: long ones, make that no gain.
        most = min(_MOST_AHEAD, _AHEAD_CELLS // (batch_size * self._cells))
        self._most_ahead = most if most >= _LEAST_AHEAD else 0
        self._ahead: list[Tensor] = []
        self._ahead_from = torch.empty(batch_size, dtype=torch.int64)
        #: Of each cell of each episode: what it shows, and the arm that leads on, or -1.
        self.shows = torch.empty(shape, dtype=torch.int64)
        self.arms = torch.empty(shape, dtype=torch.int64)
        self.position, self.elapsed, self.last, self.limit = (
            torch.zeros(batch_size, dtype=torch.int64) for _ in range(4)
        )
        self.done = torch.ones(batch_size, dtype=torch.bool)
        self._any_done = True
        self.reseed(seed)

    def reseed(self, seed: int | Tensor | None = None) -> None:
        """Episodes from here on are those of another seed, the first one next: an integer, of which
        maze i has ``seed + i``, or one for each maze, int64 (B,)."""
        if seed is None:
            seed = int(torch.randint(_SEEDS, ()))
        if isinstance(seed, Tensor):
            if seed.dtype != torch.int64 or seed.shape != (self.batch_size,):
                raise ValueError(
                    f"seed must be an integer or int64 of shape ({self.batch_size},), got "
                    f"{seed.dtype} of shape {tuple(seed.shape)}"
                )
            self.seed.copy_(seed)
        else:
            if integer("seed", seed, 0) >= _SEEDS:
                raise ValueError(f"seed must be below 2^62, got {seed}")
            self.seed.copy_(seed + self._rows)
        self.episode.fill_(-1)
        self._ahead = []
        self.done.fill_(True)
        self._any_done = True

    def reset(self, mask: Tensor | None = None) -> Tensor:
        """Begins an episode in every maze, or where mask (B,) bool is True; the others stay where
        they are. Returns the observations of all, (B,4) or (B,6)."""
        if mask is None:
            which = self._rows
        else:
            _check(mask, "mask", torch.bool, self.batch_size)
            which = mask.nonzero()[:, 0]
        if len(which):
            self._begin(which)
        self._any_done = bool(self.done.any())
        return self._observe()

    def step(self, action: Tensor, begin: Tensor | None = None) -> Step:
        """One step of every maze. action: int64 (B,), RIGHT, UP, LEFT, DOWN = 0 ... 3. Where begin
        (B,) bool is True, an episode begins instead, whatever the action, with reward 0."""
        _check(action, "action", torch.int64, self.batch_size)
        anew = None
        if begin is not None:
            _check(begin, "begin", torch.bool, self.batch_size)
            anew = begin.nonzero()[:, 0]
        if self._any_done:
            over = (self.done if begin is None else self.done & ~begin).nonzero()[:, 0].tolist()
            if over:
                raise RuntimeError(f"step needs reset: episodes are over in mazes {over[:8]}")
        if not 0 <= int(action.min()) <= int(action.max()) < ACTIONS:
            raise ValueError(
                f"action must be 0 ... {ACTIONS - 1}, got {int(action.min())} to "
                f"{int(action.max())}"
            )
        maze, position = self.maze, self.position
        if maze.noise:
            action = self._moved(action)
        arm = self.arms.gather(1, position[:, None])[:, 0]
        at_junction = arm != _NO_ARM
        vertical = (action & 1).bool()  # UP and DOWN
        taken = at_junction & vertical
        right = taken & (action == arm)
        moves = (
            torch.where(at_junction, right & (position < self.last), action == RIGHT).long()
            - ((action == LEFT) & (position > 0)).long()
        )
        reward = torch.where(
            taken, torch.where(right, maze.right, maze.wrong), maze.bump * (moves == 0)
        )
        position += moves
        self.elapsed += 1
        if maze.late:
            detour = DETOUR if maze.cue == "left" else 0
            begun = self._start() + self.elapsed - detour
            reward += maze.late * (~taken & (position < begun))
        terminated = taken & ~(right & (moves == 1))
        truncated = ~terminated & (self.elapsed >= self.limit)
        torch.logical_or(terminated, truncated, out=self.done)
        if anew is not None and len(anew):
            self._begin(anew)
            for x in (reward, terminated, truncated):
                x[anew] = 0
        self._any_done = bool(self.done.any())
        return Step(self._observe(), reward.float(), terminated, truncated)

    def optimal(self) -> Tensor:
        """The action of a shortest walk, int64 (B,): right, at a junction the arm that leads on,
        and first of all left where the cue is there."""
        arm = self.arms.gather(1, self.position[:, None])[:, 0]
        action = torch.where(arm == _NO_ARM, RIGHT, arm)
        if self.maze.cue == "left":
            action = torch.where(self.elapsed == 0, LEFT, action)
        return action

    def shown(self) -> Tensor:
        """The observation of each cell of each maze, (B, cells, 4 or 6), from the left."""
        return self._shown[self.shows]

    def get_state(self) -> dict[str, Tensor]:
        """All that the future depends on, but for the actions; a copy."""
        return {name: getattr(self, name).clone() for name in _STATE}

    def set_state(self, state: dict[str, Tensor]) -> Tensor:
        """Goes back to what ``get_state`` gave, of as many mazes; returns the observations."""
        if not isinstance(state, dict) or state.keys() != set(_STATE):
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state must have the keys {', '.join(_STATE)}, got {found}")
        for name, x in state.items():
            mine = getattr(self, name)
            _check(x, f"state[{name!r}]", mine.dtype, *mine.shape)
        for name, x in state.items():
            getattr(self, name).copy_(x)
        self._ahead = []
        self._any_done = bool(self.done.any())
        return self._observe()

    def _observe(self) -> Tensor:
        return self._shown[self.shows.gather(1, self.position[:, None])[:, 0]]

    def _start(self) -> int:
        return int(self.maze.cue == "left")

    def _moved(self, action: Tensor) -> Tensor:
        """Actions, some of them replaced."""
        draws = hashed.bits(self.seed, self.episode, _NOISE, self.elapsed)
        other = draws & 3
        return torch.where(hashed.unit(draws) < self.maze.noise, other, action)

    def _begin(self, which: Tensor) -> None:
        """A new episode in these mazes."""
        episode = self.episode[which] + 1
        self.episode[which] = episode
        if self._most_ahead:
            place = episode - self._ahead_from[which]
            if not self._ahead or bool((place >= self._most_ahead).any()):
                self._draw_ahead(which)
                place = episode - self._ahead_from[which]
            found = [x[which, place] for x in self._ahead]
        else:
            found = self._drawn(self.seed[which], episode)
        for mine, x in zip((self.shows, self.arms, self.last, self.limit), found, strict=True):
            mine[which] = x
        self.position[which], self.elapsed[which] = self._start(), 0
        self.done[which] = False

    def _draw_ahead(self, begun: Tensor) -> None:
        """The next episodes of every maze, from those just begun on: a few mazes begin one at a
        time, and an operation costs the same for all of them."""
        self._ahead_from = self.episode + 1
        self._ahead_from[begun] -= 1
        count = self._most_ahead
        episodes = self._ahead_from[:, None] + torch.arange(count)
        found = self._drawn(self.seed.repeat_interleave(count), episodes.flatten())
        self._ahead = [x.view(self.batch_size, count, *x.shape[1:]) for x in found]

    def _drawn(self, seed: Tensor, episode: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Episodes (N,) of these seeds: what their cells show, the arms, the last junctions and the
        limits."""
        maze = self.maze
        shows = torch.full((len(seed), self._cells), CORRIDOR)
        arms = torch.full_like(shows, _NO_ARM)

        # All at once: each operation costs more than what it computes.
        drawn = hashed.below(self._highs, hashed.bits(seed, episode, self._what, self._numbers))
        draw = dict(zip(self._draws, drawn, strict=True))

        rows = torch.arange(len(seed))
        start = torch.full_like(rows, self._start())
        cue = draw[_CUE, 0]  # 0 up, 1 down
        first = start
        if maze.cue == "flashes":
            gaps = torch.tensor([GAPS[UP], GAPS[DOWN]])
            first = gaps[cue, draw[_LOCAL, 0]]
            shows[:, 0] = 0
            shows[rows, first] = 0
        else:
            shows[:, 0] = cue
        for corridor in range(maze.corridors):
            arm = cue
            if maze.corridors > 1:
                local = draw[_LOCAL, corridor]
                arm = cue ^ local
                # Two cues in the cell where both are seen, see _shown.
                seen = LOCAL_UP + local if corridor else LOCAL_UP + 2 + 2 * cue + local
                shows[rows, first] = seen
            junction = first + maze.shortest + draw[_LENGTH, corridor]
            shows[rows, junction] = JUNCTION
            arms[rows, junction] = torch.where(arm == 0, UP, DOWN)
            last, first = junction, junction + 1
        walk = last + 1 + self._start()  # to a cue on the left it is one step more
        limit = 3 * last - 1 if maze.limit == "3L-1" else walk
        return shows, arms, last, limit


_STATE = ("seed", "episode", "shows", "arms", "position", "elapsed", "last", "limit", "done")


def _draws(maze: Maze) -> dict[tuple[int, int], int]:
    """What an episode draws, by what it is for and which one of these it is: below which number."""
    found = {(_CUE, 0): 2}
    if maze.cue == "flashes":
        found[_LOCAL, 0] = len(GAPS[UP])
    for corridor in range(maze.corridors):
        if maze.corridors > 1:
            found[_LOCAL, corridor] = 2
        found[_LENGTH, corridor] = maze.longest - maze.shortest + 1
    return found


def _shown(channels: int) -> Tensor:
    """Observations by what a cell shows: one-hot, and the four pairs of two cues."""
    one = torch.eye(channels)
    if channels <= LOCAL_UP:
        return one
    return torch.cat(
        [one, *(one[[cue]] + one[[LOCAL_UP + own]] for cue in (0, 1) for own in (0, 1))]
    )


def _check(x: object, name: str, dtype: torch.dtype, *shape: int) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.dtype != dtype or x.shape != shape:
        raise ValueError(
            f"{name} must be {dtype} of shape {tuple(shape)}, got {x.dtype} of shape "
            f"{tuple(x.shape)}"
        )
