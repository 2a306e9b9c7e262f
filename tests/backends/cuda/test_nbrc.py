"""The nBRC's CUDA kernels, whose matrices lie in the registers of one block or of several,
compute what the float64 reference computes."""

from ctypes import Structure, byref, c_int64, c_void_p

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cell import REAL, carry_dtype
from tests.backends.cuda import calls, executor
from tests.backends.cuda.calls import Stream, poison
from tests.conftest import FEATURES, assert_same

#: Below, at and above the widths of one block, 32, 64 and 128, and of several, multiples of 64 or
#: 32.
CHANNELS = (1, 3, 5, 16, 31, 32, 33, 64, 65, 100, 128, 129, 192, 193, 256)
NAMES = ("h0", "reset", "h_reset", "reverse", "per_batch")


class Layout(Structure):
    """csrc/cuda/kernels.h."""

    _fields_ = [(name, c_int64) for name in ("blocks", "groups", "elements")]


class Runner(calls.Runner):
    """One call, as the kernels see it."""

    def describe(self) -> None:
        """Tiles and lanes do not matter here."""

    def arguments(self) -> calls.ScanArgs:
        args = super().arguments()
        for i, w in enumerate(self.call.params):
            args.params[i] = Stream(w.data_ptr(), 0, w.stride(0), 0)
        return args

    def launch(self, backward: bool, args: calls.ScanArgs, layout: Layout) -> None:
        self.kernels.lrnn_gpu_nbrc_workspace.restype = c_int64
        workspace = torch.full(
            (self.kernels.lrnn_gpu_nbrc_workspace(self.storage, byref(layout)),),
            255,
            dtype=torch.uint8,
        )
        if self.kernels.lrnn_gpu_nbrc_launch(
            self.storage, backward, byref(args), byref(layout), c_void_p(workspace.data_ptr())
        ):
            raise RuntimeError(self.executor.message)


def layout_of(
    B: int, C: int, storage: str, multiprocessors: int, library: executor.Executor | None = None
) -> Layout:
    layout = Layout()
    ask = (library or calls.load()).library.lrnn_gpu_nbrc_layout
    ask(
        calls.STORAGES.index(storage),
        c_int64(B),
        c_int64(C),
        c_int64(multiprocessors),
        byref(layout),
    )
    return layout


def run(
    call: testing.Call,
    library: executor.Executor | None = None,
    *,
    save: bool = True,
    multiprocessors: int = 8,
) -> dict[str, torch.Tensor]:
    """What testing.run gives: y, h_last and, where states are saved, all gradients."""
    runner = Runner(call, library or calls.load())
    B, T, C = runner.shape
    carry = carry_dtype(call.dtype)
    layout = layout_of(B, C, calls.STORAGES[runner.storage], multiprocessors, library)
    args = runner.arguments()
    y, h_last = poison((B, T, C), call.dtype), poison((B, C), carry)
    args.y, args.h_last = runner.stream(y), runner.stream(h_last)
    saved = poison((B, T, 3 * C), carry)
    args.saved = runner.stream(saved) if save else Stream()
    runner.launch(False, args, layout)
    result = {"y": y, "h_last": h_last}
    if not save:
        return result

    args = runner.arguments()
    args.states = runner.stream(saved)
    dy = call.dy if call.dy is not None else torch.zeros(C, dtype=call.dtype).expand(B, T, -1)
    args.dy, args.dh_last = runner.stream(dy), runner.stream(call.dh_last)
    dinputs, dgates = (
        [poison(x.shape, call.dtype) for x in call.inputs],
        poison((B, T, 2 * C), carry),
    )
    dh0 = poison((B, C), carry)
    args.dinputs, args.dh0, args.saved = (
        runner.streams(dinputs),
        runner.stream(dh0),
        runner.stream(dgates),
    )
    dreset = (
        torch.zeros(B, C, dtype=torch.float64)
        if call.h_reset is not None and call.reset is not None
        else None
    )
    args.dreset = dreset.data_ptr() if dreset is not None else None
    runner.launch(True, args, layout)

    result |= {
        "d_" + name: x
        for name, x in zip(("packed",) if call.packed else call.entry.inputs, dinputs, strict=True)
    }
    before = saved[..., 2 * C :].reshape(-1, C)
    for name, gradient in zip(call.entry.params, dgates.split(C, -1), strict=True):
        result["d_" + name] = gradient.reshape(-1, C).T @ before
    if call.h0 is not None:
        result["d_h0"] = dh0
    if call.h_reset is not None:
        rows = torch.zeros(B, C, dtype=torch.float64) if dreset is None else dreset
        result["d_h_reset"] = (rows if call.h_reset.dim() == 2 else rows.sum(0)).to(carry)
    return result


def check(call: testing.Call, library: executor.Executor | None = None, **options) -> None:
    bad = calls.errors(call, run(call, library, **options))
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )


def a_call(number: int, C: int, dtype: torch.dtype, T: int = 11, B: int = 2) -> testing.Call:
    features = dict(zip(NAMES, FEATURES[number % len(FEATURES)], strict=True))
    return testing.random_call(
        "nbrc", B, T, C, dtype=dtype, packed=number % 2 == 1, seed=number, **features
    )


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    calls.load().configure(resident=1 + seed % 5, seed=seed)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("C", CHANNELS)
def test_values_and_gradients(C, dtype):
    check(a_call(CHANNELS.index(C) + REAL.index(dtype), C, dtype))


def test_more_channels_than_there_are_kernels_for_are_refused():
    with pytest.raises(RuntimeError):
        run(a_call(0, 257, torch.float32))


@pytest.mark.parametrize("features", range(len(FEATURES)))
@pytest.mark.parametrize("T", [0, 1, 2, 3, 4, 5, 8, 33])
def test_every_feature_and_tail_of_time(T, features):
    check(a_call(features, 10, REAL[T % 4], T))


@pytest.mark.parametrize("multiprocessors", [5, 11, 132])
@pytest.mark.parametrize("features", range(len(FEATURES)))
def test_groups_take_batch_elements_in_turn(features, multiprocessors):
    """Four at a time and then one, or three, or one for each group; and no two sequences'
    numbers are mixed up."""
    check(
        a_call(features, 133, REAL[(features + multiprocessors) % 4], T=4, B=9),
        multiprocessors=multiprocessors,
    )


@pytest.mark.parametrize("T", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_short_sequences_in_turn(T, dtype):
    check(a_call(T, 140, dtype, T=T, B=7), multiprocessors=5)


@pytest.mark.parametrize("C", [37, 150])
def test_the_same_bits_in_any_interleaving_and_layout(C):
    results = []
    for resident, seed, multiprocessors in ((1, 0, 5), (2, 1, 8), (7, 2, 132)):
        calls.load().configure(resident=resident, seed=seed)
        results.append(run(a_call(2, C, torch.float32, T=5, B=6), multiprocessors=multiprocessors))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@pytest.mark.parametrize("storage", ["f32", "f64", "bf16", "f16"])
def test_layouts(storage):
    """All blocks of all groups run at a time, no group is idle, and a group takes another
    element only where there is no other group."""
    block, piece = (64, 32) if storage == "f64" else (128, 64)
    for B in (0, 1, 2, 31, 33, 34, 66, 132, 133, 1000):
        for C in (1, block):
            layout = layout_of(B, C, storage, 4)
            assert (layout.blocks, layout.groups, layout.elements) == (1, B, 1)
        for C in (block + 1, 129, 192, 193, 256):
            for multiprocessors in (1, 4, 8, 14, 108, 132, 148):
                layout = layout_of(B, C, storage, multiprocessors)
                most = multiprocessors // layout.blocks
                assert layout.blocks == -(-C // piece)
                assert layout.groups <= most
                assert 1 <= layout.elements <= 4
                assert layout.groups > 0 or most == 0 or B == 0
                assert (layout.groups - 1) * layout.elements < max(B, 1)
                assert (
                    layout.groups * layout.elements >= B
                    or (layout.groups, layout.elements) == (most, 4)
                    or most == 0
                )
                assert layout.elements == 1 or (layout.elements - 1) * most < B


def test_nothing_need_be_saved():
    call = a_call(2, 12, torch.float32)
    expected = run(call)
    assert_same(run(call, save=False), {name: expected[name] for name in ("y", "h_last")})


def run_every_kernel(library, number: int) -> None:
    """For the sanitizers: a case per kernel, small and with tails. Wide ones have two groups of
    several blocks, and turns."""
    for case, (C, dtype) in enumerate((C, dtype) for C in (17, 33, 65, 130) for dtype in REAL):
        library.configure(resident=2, seed=number + case)
        if C < 128:
            check(a_call(case, C, dtype, 5), library)
        else:
            check(a_call(case, C, dtype, 3, B=3), library, multiprocessors=5)
