"""The T-maze as an environment: many at once, as tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import hashed
from ..episodes import Episodes, check
from .cells import CORRIDOR, DOWN, GAPS, JUNCTION, LEFT, LOCAL_UP, RIGHT, UP
from .maze import DETOUR, LAB, Maze

ACTIONS = 4
_NO_ARM = -1

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


class TMaze(Episodes):
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
    WHAT = "mazes"
    STATE = (*Episodes.STATE, "shows", "arms", "position", "last", "limit")

    def __init__(self, maze: Maze = LAB, batch_size: int = 1, *, seed: int | None = None) -> None:
        if not isinstance(maze, Maze):
            raise TypeError(f"maze must be a Maze, got {type(maze).__name__}")
        super().__init__(batch_size)
        self.maze = maze
        self.observation_size = maze.observation_size
        self._shown = _shown(self.observation_size)
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
        self.position, self.last, self.limit = (
            torch.zeros(batch_size, dtype=torch.int64) for _ in range(3)
        )
        self.reseed(seed)

    def step(self, action: Tensor, begin: Tensor | None = None) -> Step:
        """One step of every maze. action: int64 (B,), RIGHT, UP, LEFT, DOWN = 0 ... 3. Where begin
        (B,) bool is True, an episode begins instead, whatever the action, with reward 0."""
        check(action, "action", torch.int64, self.batch_size)
        anew = self._begun(begin)
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

    def _observe(self) -> Tensor:
        return self._shown[self.shows.gather(1, self.position[:, None])[:, 0]]

    def _forget(self) -> None:
        self._ahead = []

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
