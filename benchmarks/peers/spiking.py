"""Neurons of snntorch and spikingjelly: leaky membranes without spikes, which are linear scans, and
with spikes that reset them, which no layer of ours computes; those stand beside the SRC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..cpu import model_peers
from .peer import Case, Passes, Peer, Tensors, of_torch
from .problems import DECAY

TAU = 1 / (1 - DECAY)
ALPHA = 2.0  # of the surrogate: 1 / (1 + (pi u)^2)
#: Steps that are compiled at once.
STEPS = 16

Steps = Callable[[Tensor], Tensor]


def _by_time(case: Case, y: Steps, scale: float = 1.0) -> Passes:
    """Of a function of (T,B,C) currents, ``scale`` times ours, from the case's first stream."""
    name, x = next(iter(case.inputs.items()))

    def place(x: Tensor) -> Tensor:
        return x.transpose(0, 1).contiguous()

    def read(what: str, x: Tensor) -> Tensor:
        return x.transpose(0, 1) * (scale if what == name else 1)

    return of_torch(lambda **given: y(given[name]), {name: scale * place(x)}, place(case.dy), read)


# snntorch.


def _snntorch(spiking: bool) -> Callable[[Case], Mapping[str, Passes]]:
    def make(case: Case) -> Mapping[str, Passes]:
        import snntorch
        from snntorch import surrogate

        # Without resets the spikes are of no use, and made as cheaply as it lets one.
        options = (
            {"spike_grad": surrogate.atan(ALPHA), "reset_mechanism": "subtract"}
            if spiking
            else {"spike_grad": lambda u: u, "reset_mechanism": "none"}
        )
        neuron = snntorch.Leaky(beta=DECAY, **options)
        which = 0 if spiking else 1

        def several(currents: Sequence[Tensor], u: Tensor) -> tuple[list[Tensor], Tensor]:
            outputs = []
            for x in currents:
                spikes, u = neuron(x, u)
                outputs.append((spikes, u)[which])
            return outputs, u

        torch.compiler.reset()
        compiled = torch.compile(several, backend=model_peers.COMPILER, dynamic=False)

        def whole(x: Tensor) -> Tensor:
            return torch.stack(several(x.unbind(0), torch.zeros_like(x[0]))[0])

        def in_pieces(x: Tensor) -> Tensor:
            u, outputs = torch.zeros_like(x[0]), []
            for piece in x.split(STEPS):
                y, u = compiled(piece.unbind(0), u)
                outputs += y
            return torch.stack(outputs)

        return {
            "step by step": _by_time(case, whole),
            f"torch.compile of {STEPS} steps": _by_time(case, in_pieces),
        }

    return make


def _state_leaky(case: Case) -> Mapping[str, Passes]:
    from snntorch._neurons.stateleaky import StateLeaky

    # It decays by exp(beta - 1).
    neuron = StateLeaky(beta=1 + math.log(DECAY), channels=case.dy.shape[-1], output=False)
    return {"": _by_time(case, neuron)}


# spikingjelly.


def _not_spiking(case: Case) -> Mapping[str, Passes]:
    from spikingjelly.activation_based.neuron import NonSpikingLIFNode

    neuron = NonSpikingLIFNode(tau=TAU)  # v + (x - v) / tau
    return {"": _by_time(case, lambda x: torch.stack(neuron(x)), TAU)}


def _lif_node(case: Case) -> Mapping[str, Passes]:
    from spikingjelly.activation_based import functional, surrogate
    from spikingjelly.activation_based.neuron import LIFNode

    neuron = LIFNode(
        tau=TAU,
        decay_input=False,
        v_reset=None,
        detach_reset=True,
        surrogate_function=surrogate.ATan(ALPHA),
        step_mode="m",
    )

    def y(x: Tensor) -> Tensor:
        functional.reset_net(neuron)
        return neuron(x)

    return {"": _by_time(case, y)}


# What those with spikes compute.


class _Spike(torch.autograd.Function):
    """1 where u > 0, or where it is 0 if ``at_zero``."""

    @staticmethod
    def forward(ctx, u: Tensor, at_zero: bool) -> Tensor:
        ctx.save_for_backward(u)
        return ((u >= 0) if at_zero else (u > 0)).to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (u,) = ctx.saved_tensors
        return grad * (ALPHA / 2) / (1 + (math.pi / 2 * ALPHA * u) ** 2), None


def _spikes(decay: Callable[[Tensor, Tensor, Tensor], Tensor], at_zero: bool) -> Callable:
    """u[t] = decay(u[t-1], s[t-1], x[t]), s[t] = H(u[t] - 1), in float32 and in the order that it
    is written in: a spike more or less is a jump."""

    def expected(case: Case) -> Tensors:
        name, x = next(iter(case.inputs.items()))

        def y(**given: Tensor) -> Tensor:
            u = s = torch.zeros_like(x[:, 0])
            outputs = []
            for current in given[name].unbind(1):
                u = decay(u, s.detach(), current)
                s = _Spike.apply(u - 1, at_zero)
                outputs.append(s)
            return torch.stack(outputs, 1)

        passes = of_torch(y, {name: x}, case.dy)
        return passes.found(passes.train())

    return expected


NOTE = "a leaky integrate-and-fire neuron, not the SRC: a spike resets it by subtraction"
PEERS = [
    Peer(
        "snntorch Leaky",
        "leaky membrane",
        'reset_mechanism="none", its membrane, spikes made as cheaply as it lets one',
        _snntorch(spiking=False),
        ("snntorch",),
        ("snntorch",),
    ),
    Peer(
        "snntorch StateLeaky",
        "leaky membrane",
        "output=False: the convolution with all powers of the factor",
        _state_leaky,
        ("snntorch",),
        ("snntorch",),
    ),
    Peer(
        "spikingjelly NonSpikingLIFNode",
        "leaky membrane",
        "a loop over steps in Python; of currents that are scaled before",
        _not_spiking,
        ("spikingjelly",),
        ("spikingjelly.activation_based.neuron",),
    ),
    Peer(
        "snntorch Leaky, spiking",
        "src full",
        f"{NOTE}: u[t] = {DECAY} u[t-1] + x[t] - s[t-1]",
        _snntorch(spiking=True),
        ("snntorch",),
        ("snntorch",),
        expected=_spikes(lambda u, s, x: DECAY * u + x - s, at_zero=False),
    ),
    Peer(
        "spikingjelly LIFNode",
        "src full",
        f"{NOTE}: v[t] = {DECAY} (v[t-1] - s[t-1]) + x[t], step_mode m, backend torch",
        _lif_node,
        ("spikingjelly",),
        ("spikingjelly.activation_based.neuron",),
        expected=_spikes(lambda u, s, x: (u - s) - (u - s) / TAU + x, at_zero=True),
    ),
]
