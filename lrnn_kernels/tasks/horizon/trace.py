"""What a policy's states and logits do as the horizon grows, for plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...options import integer, number
from .corridor import given
from .walk import ANY, Walk, flat, one_form, rebuilt

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Trace:
    """At K horizons, for B cues.

    cues: their names.
    horizons: (K,).
    walking, asked: (K, B), margins in the corridor's last cell and at the junction: the right
        action's logit less the largest other; the policy is right where it is above 0. Infinite
        where any action is.
    states: (K, B, D), all there are of a walker before the junction, complex ones as real and
        imaginary parts.
    """

    cues: tuple[str, ...]
    horizons: Tensor
    walking: Tensor
    asked: Tensor
    states: Tensor

    def draw_margins(self, axes: Axes) -> None:
        """The margins at the junction, on a matplotlib Axes."""
        for name, margin in zip(self.cues, self.asked.T.tolist(), strict=True):
            axes.plot(self.horizons.tolist(), margin, label=name, lw=1.2)
        axes.axhline(0, color="0.5", lw=0.8)
        axes.set_xscale("log")
        axes.set_xlabel("horizon")
        axes.set_ylabel("margin at the junction")

    def draw_states(self, axes: Axes, cue: int = 0) -> None:
        """Every channel of one cue's states, on a matplotlib Axes."""
        axes.plot(self.horizons.tolist(), self.states[:, cue].tolist(), lw=0.7)
        axes.set_xscale("log")
        axes.set_xlabel("horizon")
        axes.set_ylabel(f"states after {self.cues[cue]!r}")


def trace(policy: nn.Module, env: object, horizons: Sequence[int]) -> Trace:
    """What happens at some horizons, rising, in the form that ``decide`` has. policy and env are as
    there. Raises TypeError or ValueError, naming the argument."""
    corridor, last = given(env), 0
    if not isinstance(horizons, Iterable):
        raise TypeError(f"horizons must be a sequence of ints, got {type(horizons).__name__}")
    horizons = list(horizons)
    for horizon in horizons:
        last = integer("horizons", horizon, last + 1)
    if not last:
        raise ValueError("horizons must be one or more whole numbers, got none")
    walking, asked, states = [], [], []
    with one_form(policy if isinstance(policy, nn.Module) else nn.Identity()):
        walk, wanted = Walk(policy, corridor), set(horizons)
        _, state = walk.begin()
        for step in range(last):
            before = state
            logits, state = walk.step(step, state)
            if step + 1 in wanted:
                margins = _margins(logits, walk.wanted[step % walk.period])
                walking.append(margins[: walk.count])
                asked.append(margins[walk.count :])
                states.append(_numbers(walk, before))
    return Trace(
        tuple(cue.name for cue in corridor.cues),
        torch.tensor(horizons),
        torch.stack(walking).cpu(),
        torch.stack(asked).cpu(),
        torch.stack(states).cpu(),
    )


@dataclass(frozen=True, eq=False)
class Basins:
    """Where the states of two units go in the corridor.

    first, second: (n,), the states from which each began.
    action: (n, n), what is done at the junction after all steps; rows are ``second``.
    ends: (n, n, 2), the states then.
    paths: by cue, (steps + 1, 2), the states that it leads through.
    """

    first: Tensor
    second: Tensor
    action: Tensor
    ends: Tensor
    paths: dict[str, Tensor]

    def draw(self, axes: Axes) -> None:
        """The phase plane, on a matplotlib Axes: basins by the action that they end in, and the
        cues' paths."""
        axes.pcolormesh(
            self.first.tolist(), self.second.tolist(), self.action.tolist(), alpha=0.4, vmin=0
        )
        ends = self.ends.flatten(0, 1).unique(dim=0)
        axes.plot(ends[:, 0].tolist(), ends[:, 1].tolist(), "k.", ms=4 if len(ends) < 100 else 1)
        for name, path in self.paths.items():
            axes.plot(path[:, 0].tolist(), path[:, 1].tolist(), ".-", lw=1, ms=3, label=name)
        axes.set_xlabel("state of unit 1")
        axes.set_ylabel("state of unit 2")


def basins(
    policy: nn.Module,
    env: object,
    *,
    steps: int = 1000,
    extent: float | None = None,
    points: int = 61,
) -> Basins:
    """The phase plane of a policy with a real state of two numbers: from each state on a grid from
    -extent to extent, ``steps`` steps of a constant corridor. extent: by default a quarter more
    than the cues' paths need, 1 at least. Raises as ``trace`` does."""
    corridor = given(env)
    steps = integer("steps", steps)
    points = integer("points", points, 2)
    if extent is not None:
        extent = number("extent", extent, 0.0, 1e6, open_low=True)
    if len(corridor.inputs) != 1:
        raise ValueError(f"env must have a constant corridor, got {len(corridor.inputs)} inputs")
    with one_form(policy if isinstance(policy, nn.Module) else nn.Identity()):
        walk = Walk(policy, corridor)
        _, start = walk.begin()
        found = flat(start)
        if len(found) != 1 or found[0].numel() != 2 * walk.rows or found[0].is_complex():
            raise ValueError(
                "policy must have a state of two real numbers, got "
                f"{[tuple(h.shape) for h in found]} for {walk.rows} rows"
            )
        paths = [_numbers(walk, start)]
        state = start
        for step in range(steps):
            _, state = walk.step(step, state)
            paths.append(_numbers(walk, state))
        if extent is None:
            extent = max(1.0, 1.25 * float(torch.stack(paths).abs().max()))
        axis = torch.linspace(-extent, extent, points, dtype=walk.dtype)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
        shape = list(found[0].shape)
        at = walk.batch[0]
        shape[at] = len(grid)
        h = grid.to(found[0].device)
        h = h.reshape([len(grid), *shape[:at], *shape[at + 1 :]]).movedim(0, at).contiguous()
        state = rebuilt(start, [h])
        cell = walk.moved(corridor.inputs[0]).expand(len(grid), -1).contiguous()
        for _ in range(steps):
            _, state = policy.step(cell, state)
        logits, _ = policy.step(walk.moved(corridor.junction).expand(len(grid), -1), state)
    ends = flat(state)[0].movedim(at, 0).reshape(points, points, 2).cpu()
    along = torch.stack(paths).cpu()
    names = [cue.name for cue in corridor.cues]
    return Basins(
        axis,
        axis,
        logits.argmax(-1).reshape(points, points).cpu(),
        ends,
        {name: along[:, row] for row, name in enumerate(names)},
    )


def _margins(logits: Tensor, action: Tensor) -> Tensor:
    free, action = action == ANY, action.clamp(min=0)
    own = logits.gather(1, action[:, None])[:, 0]
    others = logits.scatter(1, action[:, None], -torch.inf)
    return (own - others.amax(1)).masked_fill(free, torch.inf)


def _numbers(walk: Walk, state) -> Tensor:
    """The walkers' states, (B, D)."""
    found = []
    for h, at in zip(flat(state), walk.batch, strict=True):
        h = h.narrow(at, 0, walk.count).movedim(at, 0)
        h = torch.view_as_real(h) if h.is_complex() else h
        found.append(h.flatten(1).to(torch.float64))
    return torch.cat(found, 1)
