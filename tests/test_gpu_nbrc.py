"""The nBRC's CUDA kernels, a block per batch element with its matrices in registers, compute what the float64 reference computes."""

from ctypes import byref, c_int64

import executor
import gpu_calls
import pytest
import torch
from conftest import FEATURES, assert_same
from gpu_calls import Stream, poison

from lrnn_kernels import testing
from lrnn_kernels.reference import carry_dtype
from lrnn_kernels.registry import REAL

#: Below, at and above the widths of blocks, 32, 64 and 128.
CHANNELS = (1, 3, 5, 16, 31, 32, 33, 64, 65, 100, 128)
NAMES = ("h0", "reset", "h_reset", "reverse", "per_batch")


class Runner(gpu_calls.Runner):
    """One call, as the kernels see it."""

    def describe(self) -> None:
        self.kernels.lrnn_gpu_nbrc_channels.restype = c_int64
        self.channels = self.kernels.lrnn_gpu_nbrc_channels(self.storage)

    def arguments(self) -> gpu_calls.ScanArgs:
        args = super().arguments()
        for i, w in enumerate(self.call.params):
            args.params[i] = Stream(w.data_ptr(), 0, w.stride(0), 0)
        return args

    def launch(self, backward: bool, args: gpu_calls.ScanArgs) -> None:
        if self.kernels.lrnn_gpu_nbrc_launch(self.storage, backward, byref(args)):
            raise RuntimeError(self.executor.message)


def run(call: testing.Call, library: executor.Executor | None = None, *, save: bool = True) -> dict[str, torch.Tensor]:
    """What testing.run gives: y, h_last and, where states are saved, all gradients."""
    runner = Runner(call, library or gpu_calls.load())
    B, T, C = runner.shape
    carry = carry_dtype(call.dtype)
    args = runner.arguments()
    y, h_last = poison((B, T, C), call.dtype), poison((B, C), carry)
    args.y, args.h_last = runner.stream(y), runner.stream(h_last)
    saved = poison((B, T, 3 * C), carry)
    args.saved = runner.stream(saved) if save else Stream()
    runner.launch(False, args)
    result = {"y": y, "h_last": h_last}
    if not save:
        return result

    args = runner.arguments()
    args.states = runner.stream(saved)
    dy = call.dy if call.dy is not None else torch.zeros(C, dtype=call.dtype).expand(B, T, -1)
    args.dy, args.dh_last = runner.stream(dy), runner.stream(call.dh_last)
    dinputs, dgates = [poison(x.shape, call.dtype) for x in call.inputs], poison((B, T, 2 * C), carry)
    dh0 = poison((B, C), carry)
    args.dinputs, args.dh0, args.saved = runner.streams(dinputs), runner.stream(dh0), runner.stream(dgates)
    dreset = torch.zeros(B, C, dtype=torch.float64) if call.h_reset is not None and call.reset is not None else None
    args.dreset = dreset.data_ptr() if dreset is not None else None
    runner.launch(True, args)

    result |= {"d_" + name: x for name, x in zip(("packed",) if call.packed else call.entry.inputs, dinputs, strict=True)}
    before = saved[..., 2 * C :].reshape(-1, C)
    for name, gradient in zip(call.entry.params, dgates.split(C, -1), strict=True):
        result["d_" + name] = gradient.reshape(-1, C).T @ before
    if call.h0 is not None:
        result["d_h0"] = dh0
    if call.h_reset is not None:
        rows = torch.zeros(B, C, dtype=torch.float64) if dreset is None else dreset
        result["d_h_reset"] = (rows if call.h_reset.dim() == 2 else rows.sum(0)).to(carry)
    return result


def check(call: testing.Call, library: executor.Executor | None = None) -> None:
    bad = gpu_calls.errors(call, run(call, library))
    assert not bad, "\n".join(f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad)


def a_call(number: int, C: int, dtype: torch.dtype, T: int = 11) -> testing.Call:
    features = dict(zip(NAMES, FEATURES[number % len(FEATURES)], strict=True))
    return testing.random_call("nbrc", 2, T, C, dtype=dtype, packed=number % 2 == 1, seed=number, **features)


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    gpu_calls.load().configure(resident=1 + seed % 5, seed=seed)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("C", CHANNELS)
def test_values_and_gradients(C, dtype):
    if dtype == torch.float64 and C > 64:
        with pytest.raises(RuntimeError):
            run(a_call(0, C, dtype))
    else:
        check(a_call(CHANNELS.index(C) + REAL.index(dtype), C, dtype))


def test_more_channels_than_a_block_holds_are_refused():
    with pytest.raises(RuntimeError):
        run(a_call(0, 129, torch.float32))


@pytest.mark.parametrize("features", range(len(FEATURES)))
@pytest.mark.parametrize("T", [0, 1, 2, 3, 4, 5, 8, 33])
def test_every_feature_and_tail_of_time(T, features):
    check(a_call(features, 10, REAL[T % 4], T))


def test_the_same_bits_in_any_interleaving():
    results = []
    for resident, seed in ((1, 0), (2, 1), (7, 2)):
        gpu_calls.load().configure(resident=resident, seed=seed)
        results.append(run(a_call(2, 37, torch.float32)))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


def test_nothing_need_be_saved():
    call = a_call(2, 12, torch.float32)
    expected = run(call)
    assert_same(run(call, save=False), {name: expected[name] for name in ("y", "h_last")})


def run_every_kernel(library, number: int) -> None:
    """For the sanitizers: a case per kernel, small and with tails."""
    for case, (C, dtype) in enumerate((C, dtype) for C in (17, 33, 65) for dtype in REAL):
        if C <= 64 or dtype != torch.float64:
            library.configure(resident=2, seed=number + case)
            check(a_call(case, C, dtype, 5), library)
