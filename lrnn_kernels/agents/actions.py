"""What a network's answers say of actions: how they are drawn, how likely one is, and how far two
policies are from one another. Of both kinds: one of several, and real numbers."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

#: What is added to log-variances: real actions deviate by e^(-1/2), 0.6, where a network says 0.
LOG_VARIANCE = -1.0


class Actions(Protocol):
    """A kind of actions. Answers are (...,N)."""

    def draw(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        """Actions, with the probabilities that the answers say."""

    def greedy(self, answers: Tensor) -> Tensor:
        """The likeliest actions."""

    def normalized(self, answers: Tensor) -> Tensor:
        """What the functions below take, (...,N)."""

    def log_density(self, found: Tensor, action: Tensor) -> Tensor:
        """Log probability or density, (...,)."""

    def entropy(self, found: Tensor) -> Tensor:
        """In nats, (...,)."""

    def divergence(self, old: Tensor, new: Tensor) -> Tensor:
        """KL(old || new), (...,)."""


class OneOf:
    """An int64 (...,) of 0 ... N-1: answers are log probabilities up to a constant."""

    def draw(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        # An exponential variable divided by p is the least of all with probability p.
        waiting = torch.empty_like(answers).exponential_(generator=generator)
        return (answers - waiting.log_()).argmax(-1)

    def greedy(self, answers: Tensor) -> Tensor:
        return answers.argmax(-1)

    def normalized(self, answers: Tensor) -> Tensor:
        # Over a last axis of a few actions torch's takes four times as long as over the first one,
        # and so do sums.
        return answers.movedim(-1, 0).contiguous().log_softmax(0).movedim(0, -1)

    def log_density(self, found: Tensor, action: Tensor) -> Tensor:
        return found.gather(-1, action[..., None])[..., 0]

    def entropy(self, found: Tensor) -> Tensor:
        return -(found.exp() * found).sum(-1)

    def divergence(self, old: Tensor, new: Tensor) -> Tensor:
        return (old.exp() * (old - new)).sum(-1)


class Real:
    """N/2 real numbers, normally distributed: answers are means, then log-variances to which -1 is
    added."""

    def draw(self, answers: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_variance = normal(answers)
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + log_variance.div(2).exp() * noise

    def greedy(self, answers: Tensor) -> Tensor:
        return normal(answers)[0]

    def normalized(self, answers: Tensor) -> Tensor:
        return answers

    def log_density(self, found: Tensor, action: Tensor) -> Tensor:
        mean, log_variance = normal(found)
        square = (action - mean).square() * (-log_variance).exp()
        return -(square + log_variance + math.log(2 * math.pi)).sum(-1) / 2

    def entropy(self, found: Tensor) -> Tensor:
        return (normal(found)[1] + (1 + math.log(2 * math.pi))).sum(-1) / 2

    def divergence(self, old: Tensor, new: Tensor) -> Tensor:
        (m0, v0), (m1, v1) = normal(old), normal(new)
        each = v1 - v0 + (v0 - v1).exp() + (m1 - m0).square() * (-v1).exp() - 1
        return each.sum(-1) / 2


ONE_OF, REAL = OneOf(), Real()


def normal(answers: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, log-variance), each (...,A), of answers (...,2A)."""
    mean, log_variance = answers.chunk(2, -1)
    return mean, log_variance + LOG_VARIANCE
