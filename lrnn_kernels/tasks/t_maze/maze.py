"""Which T-maze it is: its cues, lengths, rewards and limit, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...options import integer, number, one_of
from .. import horizon
from .cells import CORRIDOR, JUNCTION, LEFT, RIGHT, UP
from .sequences import cues as shown

CUES = ("shown", "flashes", "left")
LIMITS = ("3L-1", "shortest path")
DETOUR = 2  # steps to a cue on the left of the start, and back


@dataclass(frozen=True)
class Maze:
    """A T-maze.

    Args:
        shortest, longest: cells of a corridor before its junction, drawn evenly from one to the
            other for every episode, and every corridor of it.
        cue: "shown" shows the arm to take in the first cell. "flashes" flashes there and again in a
            later cell, where the corridor begins: up where that is 2, 3 or 4 cells on, down where
            it is 7, 8 or 9. "left" shows the arm in a cell to the left of where an episode starts.
        corridors: how many follow each other. Where several: the cue is seen once, at the very
            beginning, and in the first cell of each corridor another one is, of its own; the right
            arm is the exclusive or of both (down where one of them is down, up else), and leads to
            the next corridor.
        right, wrong: rewards of the arm that the cue asks for, and of the other.
        bump: of an action against a wall.
        late: of each step, but that into an arm, after which the agent is fewer cells from the
            start than steps were taken; the two of the detour to a cue on the left are free.
        limit: of an episode's steps, with L the cells to the last junction: "3L-1", or "shortest
            path", the steps of a walk without detours.
        noise: how often a random action, of all four evenly, takes the place of the agent's.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    shortest: int = 5
    longest: int = 20
    cue: str = "shown"
    corridors: int = 1
    right: float = 4.0
    wrong: float = -0.1
    bump: float = -0.1
    late: float = 0.0
    limit: str = "3L-1"
    noise: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortest", integer("shortest", self.shortest))
        object.__setattr__(self, "longest", integer("longest", self.longest, self.shortest))
        one_of("cue", self.cue, CUES)
        object.__setattr__(self, "corridors", integer("corridors", self.corridors))
        if self.corridors > 1 and self.cue != "shown":
            raise ValueError(f"corridors must be 1 where cue={self.cue!r}, got {self.corridors}")
        for name in ("right", "wrong", "bump", "late"):
            object.__setattr__(self, name, number(name, getattr(self, name), -1e6, 1e6))
        one_of("limit", self.limit, LIMITS)
        object.__setattr__(self, "noise", number("noise", self.noise, 0.0, 1.0))

    @property
    def observation_size(self) -> int:
        """Channels of an observation: up, down, corridor, junction, and for several corridors their
        own up and down."""
        return 6 if self.corridors > 1 else 4

    def corridor(self) -> horizon.Corridor:
        """What ``horizon.decide`` asks of a policy: all cues, and a corridor of any length.
        Horizon T is a corridor of T cells from the cue's own on, of ``shortest`` or more.
        ValueError for several corridors."""
        if self.corridors > 1:
            raise ValueError(f"corridors must be 1 to have one corridor, got {self.corridors}")
        seen = torch.eye(self.observation_size)
        first = (
            [CORRIDOR] if self.cue == "left" else []
        )  # where an episode starts, left of which is
        cues = []
        for answer, cells in shown("shown" if self.cue == "left" else self.cue):
            name = "up" if answer == UP else "down"
            name += f", gap {len(cells) - 1}" if self.cue == "flashes" else ""
            actions = [LEFT] * len(first) + [RIGHT] * len(cells)
            cues.append(horizon.Cue(name, seen[first + cells], actions, answer))
        return horizon.Corridor(cues, seen[CORRIDOR], RIGHT, seen[JUNCTION], self.shortest)


#: As in the warm-up's paper, gamma = 0.98.
LAB = Maze()
#: The interval between two flashes must be measured, and then kept.
FLASHES = Maze(cue="flashes")


def _memory_rl(cue: str, length: int) -> Maze:
    detour = DETOUR if cue == "left" else 0
    return Maze(
        length,
        length,
        cue,
        right=1.0,
        wrong=0.0,
        bump=0.0,
        late=-1 / (length + detour),
        limit="shortest path",
    )


def passive(length: int) -> Maze:
    """Memory-RL's passive T-maze (Ni et al., "When do transformers shine in RL?", 2023; gamma = 1):
    the cue is where an episode starts, and only the shortest walk is free. As this project
    reconstructs it."""
    return _memory_rl("shown", length)


def active(length: int) -> Maze:
    """Memory-RL's active T-maze: the cue lies one cell to the left of the start, so that an agent
    must fetch it first. As this project reconstructs it."""
    return _memory_rl("left", length)


def consecutive(corridors: int, shortest: int = 5, longest: int = 20) -> Maze:
    """Task B of "temporal horizon generalization" (arXiv 2605.12206, 2026): one cue for the whole
    episode and one for each corridor. The rule, exclusive or, is this project's reconstruction."""
    return Maze(shortest, longest, corridors=corridors)
