"""What the recurrent layers share: layers and directions, initial states, resets, packed
sequences, streaming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..calls.autograd import owned
from ..calls.distributed import ProcessGroup
from ..calls.run import run
from ..cell import Cell
from ..options import integer, one_of
from . import checks, directions, final, packed, ranks, signature, stepping, storage
from .checks import State
from .directions import Watch

INITIAL_STATES = ("zero", "learned")


class Recurrent(nn.Module):
    """A stack of recurrent layers, called as torch.nn.GRU is: ``out, h_n = rnn(x, h_0=None,
    reset=None)``.

    Each layer is one GEMM, whose output the fused scan reads as it lies, and the scan. Neither the
    forward nor the backward pass copies a tensor the size of an activation between the two, with
    the batch or the time first, and for transposed views of either; out lies in memory as x does.
    (Bidirectional layers do concatenate their outputs.)

    Constructor arguments, common to all layers:
        input_size, hidden_size: channels of x and, per direction, of the output.
        num_layers: stacked layers; each reads the outputs of the one below.
        bias: whether the pre-activations have a bias.
        batch_first: x, out and reset have the batch first: (B,T,...) in place of (T,B,...). h_0 and
            h_n do not change.
        dropout: probability of dropout on the outputs of every layer but the last, in training.
        bidirectional: a second scan per layer, from the last step to the first; the outputs are
            concatenated, forward first.
        initial_state (keyword): "learned", one value per channel, layer and direction; or "zero".
        process_group (keyword): of torch.distributed, over whose ranks time is split, as in
            ``lrnn_kernels.cells``: x, out and reset are of this rank's piece, h_0 and h_n of the
            whole. An attribute too: None again for ``step`` and sequences of one process. Not with
            a PackedSequence, nor with return_sequence=False.
        backend (keyword): as in ``lrnn_kernels.cells``.

    The call, with its shapes, resets and results, is described at ``forward``, one step at
    ``step``.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    cell: Cell  # the row of the scan; its states are what is carried from step to step
    takes_input = False  # whether its kernels have an operator that makes their streams of x
    step_operator = ""  # a layer's own for a step, by name, where its kernel's does not do
    default_bias = True
    default_initial_state = "zero"

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" not in vars(cls):
            cls.__signature__ = signature.constructor(cls, Recurrent)
            if getattr(cls.__init__, "__code__", None) is Recurrent.__init__.__code__:
                cls.__init__ = signature.named(cls, cls.__init__)
        elif "__signature__" not in vars(cls):
            cls.__signature__ = signature.without_self(cls.__init__)
        if "_step_tensors" in vars(cls):
            cls._step_parts = stepping.parts(cls, Recurrent)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool | None = None,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        initial_state: str | None = None,
        process_group: ProcessGroup | None = None,
        backend: str = "auto",
        **options: Any,
    ) -> None:
        if options and (unknown := [x for x in options if x not in signature.own(type(self))]):
            taken = signature.constructor(type(self), Recurrent).parameters
            signature.refuse(type(self), unknown, taken)
        bias = self.default_bias if bias is None else bias
        initial_state = self.default_initial_state if initial_state is None else initial_state
        super().__init__()
        self.input_size = integer("input_size", input_size)
        self.hidden_size = integer("hidden_size", hidden_size)
        self.num_layers = integer("num_layers", num_layers)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = checks.dropout(dropout, self.num_layers)
        self.bidirectional = bool(bidirectional)
        self.initial_state = one_of("initial_state", initial_state, INITIAL_STATES)
        self.backend = backend
        self._set_options(**options)
        self.process_group = process_group
        self._build(device, dtype)

    process_group = ranks.ProcessGroupOf()

    @property
    def output_size(self) -> int:
        """Channels of out."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, in the order of the state_dict, as
        torch.nn.GRU has them."""
        return [
            list(self._parameters_of(layer, bool(reverse)).values())
            for layer, suffixes in enumerate(self._suffixes)
            for reverse in range(len(suffixes))
        ]

    def flatten_parameters(self) -> None:
        """Does nothing, for code that was written for torch.nn.GRU: parameters are read where they
        lie."""

    # What a layer defines.

    def _set_options(self) -> None:
        """Keeps the layer's own options, keyword arguments with their defaults, as attributes."""

    def _shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one layer's and direction's parameters, in the order of the
        state_dict."""
        raise NotImplementedError

    def _init(self, p: Mapping[str, Tensor]) -> None:
        """Draws one layer's and direction's parameters, in place."""
        raise NotImplementedError

    def _drive(self, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        """The scan's packed input from x, both with the channels last. A bias shorter than the
        weight is that of its first rows."""
        weight, *bias = self._weights(p)
        if bias and bias[0].shape[0] < weight.shape[0]:
            bias = [F.pad(bias[0], (0, weight.shape[0] - bias[0].shape[0]))]
        return F.linear(x, weight, *bias)

    def _weights(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        """Of ``_drive``'s product: the weight, and the bias where there is one."""
        return [p["weight_ih"], p["bias_ih"]] if "bias_ih" in p else [p["weight_ih"]]

    def _streams(self, drive: Tensor) -> list[Tensor]:
        """The scan's inputs from ``_drive``'s output: itself, packed, or the streams one by one."""
        return [drive]

    def _scan_params(self, p: Mapping[str, Tensor]) -> list[Tensor]:
        """The scan's parameters, one value per channel each."""
        return []

    def _scan_options(self) -> dict[str, Any]:
        return {}

    def _initial(self, p: Mapping[str, Tensor]) -> Tensor | None:
        """The initial state, (C,) as the scan stores it, or None for zero."""
        return p.get("h0")

    def _start(self, p: Mapping[str, Tensor]) -> Tensor | None:
        """The parameter that ``_initial`` alone reads, (C,) as the scan stores states, or None."""
        return p.get("s0", p.get("h0"))

    def _read_out(self, y: Tensor, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        """The layer's output from its states and its input."""
        return y

    def _store(self, h: State) -> Tensor:
        """A user's states as the scan stores them: one tensor, with the channels last."""
        return storage.store(h, len(self.cell.states))

    def _load(self, stored: list[Tensor], join: Callable[[list[Tensor]], Tensor]) -> State:
        """The inverse of ``_store``, of all layers' and directions' states: ``storage.load``."""
        return storage.load(stored, join, len(self.cell.states))

    def _scan(self, drive: Tensor, p: Mapping[str, Tensor], **states) -> tuple[Tensor, Tensor]:
        """(y, h_last) of one direction, (B,T,C) and (B,C), from ``_drive``'s output; states:
        h0, reset, h_reset and what else run takes."""
        streams = self._streams(drive)
        packed = len(streams) == 1
        return run(
            self.cell,
            streams,
            self._scan_params(p),
            self._scan_options(),
            process_group=self.process_group,
            backend=self.backend,
            packed=packed,
            **states,
        )

    def _takes_input(self) -> bool:
        """Whether one operator takes ``_drive``'s product as well as the scan: ``takes_input``, and
        what it does is what the methods would do that are in place."""
        if not self.takes_input or attrgetter(*_SCAN_OF_INPUT)(type(self)) != _AS_WRITTEN:
            return False
        return torch.compiler.is_compiling() or vars(self).keys().isdisjoint(_SCAN_OF_INPUT)

    def _step_tensors(self, p: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]] | None:
        """What the operator of a step takes (``stepping``): weights, of ``_drive``'s product, and
        the scan's parameters. None where another way must be gone.

        A layer with a ``_drive``, ``_streams`` or ``_read_out`` of its own goes it, unless it has
        this method too.
        """
        return self._weights(p), self._scan_params(p)

    def _finish_step(self, y: Tensor, x: Tensor, p: Mapping[str, Tensor]) -> Tensor:
        """The output from what a ``step_operator`` gives."""
        return y

    # Parameters.

    def _build(self, device, dtype) -> None:
        """Creates and draws the parameters, once a subclass has set its options."""
        self._suffixes: list[list[str]] = []  # [layer][direction]
        self._names: list[list[str]] = []  # [layer]
        for layer in range(self.num_layers):
            shapes = self._shapes(self.output_size if layer else self.input_size)
            self._suffixes.append(
                [f"_l{layer}", f"_l{layer}_reverse"] if self.bidirectional else [f"_l{layer}"]
            )
            self._names.append(list(shapes))
            for suffix in self._suffixes[-1]:
                for name, shape in shapes.items():
                    self.register_parameter(
                        name + suffix, nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    )
        self.reset_parameters()

    def _parameters_of(self, layer: int, reverse: bool) -> dict[str, Tensor]:
        suffix = self._suffixes[layer][reverse]
        return {name: getattr(self, name + suffix) for name in self._names[layer]}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for layer, suffixes in enumerate(self._suffixes):
            for reverse in range(len(suffixes)):
                self._init(self._parameters_of(layer, bool(reverse)))

    def _extra_options(self) -> dict[str, Any]:
        """A cell's own options, with their values, as extra_repr shows them."""
        return {}

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments, those that all layers share and this one's own, by which
        another like it is made."""
        names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout")
        names += ("bidirectional", "initial_state", "process_group", "backend")
        like = next(self.parameters())
        given = {name: getattr(self, name) for name in names}
        return {**given, **self._extra_options(), "device": like.device, "dtype": like.dtype}

    def extra_repr(self) -> str:
        shown = {}
        for name, default in (
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != default:
                shown[name] = getattr(self, name)
        shown |= {"initial_state": self.initial_state, **self._extra_options()}
        if self.process_group is not None:
            shown["process_group"] = ranks.Shown(self.process_group)
        if self.backend != "auto":
            shown["backend"] = self.backend
        return ", ".join(
            [f"{self.input_size}, {self.hidden_size}", *(f"{k}={v!r}" for k, v in shown.items())]
        )

    # The call.

    def forward(
        self,
        x: Tensor | PackedSequence,
        h_0: State | None = None,
        reset: Tensor | None = None,
        *,
        return_sequence: bool = True,
        **unknown: Any,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Runs all layers over a sequence: (out, h_n).

        Args, with D = 2 if bidirectional, else 1:
            x: (T,B,input_size), (B,T,input_size) if batch_first, (T,input_size) without a batch, or
                a PackedSequence.
            h_0: (num_layers*D,B,hidden_size), the states before the first step (in the reverse
                direction: before the last), layer by layer and forward first;
                (num_layers*D,hidden_size) without a batch. The layer's initial state if None.
            reset: bool, (T,B), (B,T) if batch_first, (T,) without a batch: True where an episode
                starts. Before such a step every layer and direction has its initial state, also
                where h_0 is given. The reverse direction enters an episode at its last step, so for
                it the mask acts one step earlier; where a sequence itself ends, h_0 holds.
            return_sequence (keyword): False for out after the last step alone, (B,D*hidden_size),
                of each direction after its own last step. Without gradients memory is then that of
                a piece of the sequence.

        Returns:
            out: (T,B,D*hidden_size), or in the form of x; in the dtype of the GEMM, so 16 bit under
                autocast.
            h_n: the shape of h_0, each direction's state after its last step, in the dtype of
                states: float32 for 16-bit activations, else that of the activations.

        A cell that carries several states takes h_0 and returns h_n as a tuple of such tensors, as
        torch.nn.LSTM does.

        A PackedSequence is padded once, all layers run on the padded tensor, and the result is
        packed again. Every direction starts and ends at each sequence's own ends, h_0 and h_n are
        in the order of the original batch, and so is ``reset``, given as for the padded tensor. Its
        h_n are read from the outputs, so in 16 bits they carry the rounding of these; a cell with
        several states, which its output does not tell, runs one scan for every length that occurs.
        One combination is refused with a ValueError: a bidirectional layer, sequences of several
        lengths, h_0 and reset at once.

        Raises TypeError or ValueError, naming the argument, what was got and what was expected.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(Recurrent.forward))
        if not return_sequence:
            return final.last(self, x, h_0, reset)
        if isinstance(x, PackedSequence):
            return packed.forward(self, x, h_0, reset)
        return self._sequence(x, h_0, reset, None)

    def _sequence(
        self, x: Tensor, h_0: State | None, reset: Tensor | None, watch: Watch | None
    ) -> tuple[Tensor, State]:
        checks.shape(self, x, "TB", "T")
        if x.dim() == 3:
            B, T = (x.shape[0], x.shape[1]) if self.batch_first else (x.shape[1], x.shape[0])
            h_0 = checks.stored(self, "h_0", h_0, (B,), x)
            checks.reset(reset, (B, T) if self.batch_first else (T, B))
            if reset is not None and not self.batch_first:
                reset = reset.transpose(0, 1)
            out, states = directions.stack(self, x, h_0, reset, None, self.batch_first, watch)
            return owned(out), self._load(states, torch.stack)
        h_0 = checks.stored(self, "h_0", h_0, (), x)
        checks.reset(reset, (x.shape[0],))
        h_0 = None if h_0 is None else h_0.unsqueeze(1)
        reset = None if reset is None else reset.unsqueeze(0)
        out, states = directions.stack(self, x.unsqueeze(0), h_0, reset, None, True, watch)
        return owned(out.squeeze(0)), self._load(states, torch.cat)

    def step(
        self,
        x: Tensor,
        state: State | None = None,
        reset: Tensor | None = None,
        **unknown: Any,
    ) -> tuple[Tensor, State]:
        """One time step of all layers, for streaming; the values are those of the scan.

        Args:
            x: (B,input_size), or (input_size,).
            state: (num_layers,B,hidden_size), or (num_layers,hidden_size), or a tuple of these:
                what the last step returned; the initial state if None.
            reset: (B,) bool, or (): whether an episode starts.

        Returns (out, state), out (B,hidden_size) or (hidden_size,). Raises RuntimeError for a
        bidirectional layer.
        """
        if unknown:
            signature.refuse(type(self), unknown, signature.keywords(Recurrent.step))
        ranks.refuse(self, "step")
        if (done := stepping.by_operator(self, x, state, reset)) is not None:
            return done
        return stepping.by_parts(self, x, state, reset)


Recurrent._step_parts = stepping.parts(Recurrent, Recurrent)

#: The methods whose work an operator does that takes x, and they themselves.
_SCAN_OF_INPUT = ("_drive", "_streams", "_scan")
_AS_WRITTEN = attrgetter(*_SCAN_OF_INPUT)(Recurrent)
