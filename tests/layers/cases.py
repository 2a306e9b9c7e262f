"""The layers as the tests of lrnn_kernels.nn take them, and a plain loop that says what each
must compute."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lrnn_kernels import nn
from lrnn_kernels.cell import Heaviside, Sign
from lrnn_kernels.cells import brc, fq_bmru, gru, hysteresis, lstm, min_gru, nbrc, src

#: Every layer by its name: what lrnn_kernels.nn exports.
PLAIN = {
    name: layer
    for name in nn.__all__
    if isinstance(layer := getattr(nn, name), type)
    and issubclass(layer, nn.Recurrent)
    and layer is not nn.Recurrent
}

#: The keyword options of a layer, beside defaults, that reach each of its forms; the name of a form
#: begins with the layer's. Learned initial states wherever a layer has them, so that resets and
#: starts show.
OPTIONS = {
    "BMRU-annealing": {"eps": 0.5, "quantize_initial_state": True},
    "AlphaCMRU-absolute": {"absolute": True},
    "FQBMRU": {"eps": 0.25},
    "LRU": {"initial_state": "learned", "bias": True},
    "MinGRU": {"initial_state": "learned"},
    "MinGRU-positive": {"positive": True},
    "SRC": {"initial_state": "learned", "max_bias": 0.0},
    "SRC-full": {"gradient": "full", "max_bias": None, "z": 0.1, "leak": 0.8, "memory": 2},
    "SRC-spikes": {"threshold": 0.5, "surrogate": "triangle", "width": 0.7, "max_bias": 0.0},
    "BRC": {"initial_state": "learned"},
    "NBRC": {"initial_state": "learned"},
    "GRU": {"initial_state": "learned"},
    "GRU-reset_before": {"reset_after": False, "candidate_bias": False},
    "LSTM": {"initial_state": "learned"},
    "MGU": {"initial_state": "learned"},
    "MGU-reset_after": {"reset_after": True},
}
#: name -> (class, keyword options): each layer, and its further forms.
LAYERS = {name: (PLAIN[name.split("-")[0]], OPTIONS.get(name, {})) for name in {**PLAIN, **OPTIONS}}


def _over(layers) -> pytest.MarkDecorator:
    """parametrize over layers, the cell in the id beside the layer: MinGRU-positive-min_gru."""
    ids = [f"{name}-{PLAIN[name.split('-')[0]].cell.name}" for name in layers]
    return pytest.mark.parametrize("name", layers, ids=ids)


every_layer = _over(LAYERS)
plain_layers = _over(PLAIN)

TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}  # float64: the GEMM and the loop add in different orders


def make(name: str, input_size: int, hidden_size: int, *args, **kwargs):
    """A float64 layer whose biases and initial states are random, so that none of them can be
    missed."""
    cls, options = LAYERS[name]
    torch.manual_seed(0)
    layer = cls(input_size, hidden_size, *args, **{"dtype": torch.float64, **options, **kwargs})
    with torch.no_grad():
        for key, p in layer.named_parameters():
            if key.startswith(("bias", "h0", "s0", "alpha", "w_")):
                p.add_(0.3 * torch.randn_like(p))
            if key.startswith("bias") and cls is nn.SRC:
                p.add_(
                    6.0
                )  # on both sides of 0, their limit, from where neurons spike within a few steps
    return layer


def random_state(layer, *batch: int) -> Tensor | tuple[Tensor, ...]:
    dtype = torch.complex128 if isinstance(layer, nn.LRU) else torch.float64
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), *batch, layer.hidden_size)
    states = tuple(torch.randn(shape, dtype=dtype) for _ in layer.cell.states)
    return states if len(states) > 1 else states[0]


def each(change, *states):
    """change(state), for each of them where a layer has several."""
    if isinstance(states[0], tuple):
        return tuple(change(*parts) for parts in zip(*states, strict=True))
    return change(*states)


def initial(layer, suffix: str) -> Tensor:
    """The layer's state where an episode starts, (H,), or (3H,) of three states side by side."""
    H = layer.hidden_size
    p = dict(layer.named_parameters())
    if layer.initial_state == "zero":
        return torch.zeros(
            H * len(layer.cell.states),
            dtype=torch.complex128 if isinstance(layer, nn.LRU) else torch.float64,
        )
    if isinstance(layer, nn.LRU):
        return torch.complex(p["h0" + suffix][:H], p["h0" + suffix][H:])
    if "h0" + suffix in p:
        return p["h0" + suffix]
    s0 = p["s0" + suffix]
    if layer.quantize_initial_state:
        half = torch.full_like(s0, 0.5)
        s0 = (
            Heaviside.apply(s0, half, layer.width)
            if isinstance(layer, nn.FQBMRU)
            else Sign.apply(s0, layer.width)
        )
    return p["alpha" + suffix] * s0


def one_step(layer, suffix: str, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """(output, state) after x (I,), from the state h (H,), or (3H,)."""
    H = layer.hidden_size
    p = {key.removesuffix(suffix): q for key, q in layer.named_parameters() if key.endswith(suffix)}
    u = p["weight_ih"] @ x
    if isinstance(layer, nn.BRC):
        bias = torch.cat([p["bias_ih"], torch.zeros(H, dtype=u.dtype)])
        step = nbrc.step if isinstance(layer, nn.NBRC) else brc.step
        _, h = step((h,), *(u + bias).chunk(3), p["w_a"], p["w_c"])
        return h, h
    if isinstance(layer, nn.SRC):
        bias = p["bias"]
        if layer.max_bias is not None:
            bias = bias - (bias - layer.max_bias).clamp(min=0).detach()
        states, y = src.step(h.chunk(3), u, bias, **layer.options)
        return y, torch.cat(states)
    if isinstance(layer, nn.GRU):
        b_ih, b_hh = (F.pad(p[name], (0, 3 * H - len(p[name]))) for name in ("bias_ih", "bias_hh"))
        gates = u + b_ih + torch.cat([b_hh[: 2 * H], torch.zeros(H, dtype=u.dtype)])
        _, h = gru.step((h,), *gates.chunk(3), p["weight_hh"], b_hh[2 * H :], **layer.options)
        return h, h
    if isinstance(layer, nn.LSTM):
        gates = u + p["bias_ih"] + p["bias_hh"]
        states, y = lstm.step(h.chunk(2), *gates.chunk(4), p["weight_hh"])
        return y, torch.cat(states)
    u = u + p.get("bias_ih", 0)
    if isinstance(layer, nn.LRU):
        lam = torch.exp(torch.complex(-p["nu"].exp(), p["theta"].exp()))
        h = lam * h + p["gamma"].exp() * torch.complex(u[:H], u[H:])
        C = torch.complex(p["weight_ho"][:, :H], -p["weight_ho"][:, H:])
        skip = p["skip"] * x if p["skip"].dim() == 1 else p["skip"] @ x
        return (C @ h).real + skip + p["bias_ho"], h
    if isinstance(layer, nn.MinGRU):
        h = min_gru.step(h, u[:H], u[H:], positive=layer.positive)
    elif isinstance(layer, nn.FQBMRU):
        lo = p["p1"].abs()
        h = fq_bmru.step(h, u, lo, lo + p["p2"].abs(), p["alpha"], eps=layer.eps, width=layer.width)
    elif isinstance(layer, nn.BMRU | nn.CMRU | nn.AlphaCMRU):
        alpha = p.get("alpha")
        if alpha is None:
            alpha = u[2 * H :].abs() if layer.absolute else u[2 * H :]
        h = hysteresis.step(
            h, u[:H], u[H : 2 * H], alpha, eps=getattr(layer, "eps", 1.0), width=layer.width
        )
    else:
        # A layer that hands its pre-activations to its cell as they are.
        streams, options = u.chunk(len(layer.cell.inputs)), layer._scan_options()
        states, y = layer.cell.step(
            h.chunk(len(layer.cell.states)),
            *streams,
            *layer._scan_params(p),
            **{**layer.cell.options, **options},
        )
        return y, torch.cat(states)
    return h, h


def one_sequence(layer, x: Tensor, h_0, reset: Tensor | None):
    """out (T,D*H) and h_n (L*D,H), or a tuple of them, of x (T,I), one step at a time."""
    states = []
    h_0 = torch.cat(h_0, -1) if isinstance(h_0, tuple) else h_0
    for k in range(layer.num_layers):
        directions = []
        for suffix in [f"_l{k}", f"_l{k}_reverse"] if layer.bidirectional else [f"_l{k}"]:
            reverse = suffix.endswith("reverse")
            h = initial(layer, suffix) if h_0 is None else h_0[len(states)]
            out = [None] * len(x)
            for t in reversed(range(len(x))) if reverse else range(len(x)):
                boundary = (
                    t + 1 if reverse else t
                )  # the episode start that this direction crosses on its way into step t
                if reset is not None and boundary < len(x) and reset[boundary]:
                    h = initial(layer, suffix)
                out[t], h = one_step(layer, suffix, x[t], h)
            states.append(h)
            directions.append(torch.stack(out))
        x = torch.cat(directions, -1)
    h_n = torch.stack(states)
    return x, h_n.chunk(len(layer.cell.states), -1) if len(layer.cell.states) > 1 else h_n


def flat(outputs) -> list[Tensor]:
    """All tensors in nested tuples, in order."""
    return [outputs] if isinstance(outputs, Tensor) else [x for part in outputs for x in flat(part)]


def gradients(outputs, tensors) -> list[Tensor]:
    """Gradients of a fixed random projection of the outputs; zero where one does not depend on a
    tensor."""
    generator = torch.Generator().manual_seed(1)
    loss = 0
    for out in flat(outputs):
        parts = torch.view_as_real(out) if out.is_complex() else out
        weights = torch.randn(parts.shape, generator=generator, dtype=torch.float64)
        loss = loss + (parts * weights.to(parts.dtype)).sum()
    return list(torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True))


def assert_same(got, expected, **tolerance) -> None:
    torch.testing.assert_close(got, expected, **(tolerance or TOLERANCE))
