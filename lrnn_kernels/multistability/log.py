"""How VAA changes while a network trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..options import integer
from .measuring import measure
from .network import Network


class Log:
    """Measures VAA now and then while a network trains:

        log = multistability.Log(net, sequences, every=50)
        for step in range(1000):
            ...
            log(step)
        log.history  # [(0, 0.03), (50, 0.09), ...]

    Args:
        net, sequences: as of ``measure``; sequences of the task, the same all the time.
        every: calls with a multiple of it measure, all others do nothing.
        steps, draws: as of ``measure``.
        seed: of the draws, the same at every measurement: what changes is the network.

    A call returns VAA, or None where it did not measure. Training is not disturbed: neither the
    network nor a generator of the user's is changed. Raises as ``measure`` does.
    """

    def __init__(
        self,
        net: nn.Module,
        sequences: Tensor,
        *,
        every: int = 100,
        steps: int = 200,
        draws: int = 1,
        seed: int = 0,
    ) -> None:
        Network(net).check("sequences", sequences)
        self.net, self.sequences = net, sequences
        self.every = integer("every", every)
        self.steps, self.draws = integer("steps", steps), integer("draws", draws)
        self.seed = integer("seed", seed, 0)
        #: (step, VAA) of every measurement.
        self.history: list[tuple[int, float]] = []

    def __call__(self, step: int) -> float | None:
        if integer("step", step, 0) % self.every:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        found = measure(self.net, self.sequences, self.steps, draws=self.draws, generator=generator)
        self.history.append((step, found))
        return found
