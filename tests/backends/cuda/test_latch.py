"""The last-write-wins CUDA kernels: the outputs of the loop and the saved bits of the CPU, bit
for bit, however time is cut."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from lrnn_kernels.cell import REAL
from tests.backends.cuda import calls
from tests.backends.cuda.calls import Plan
from tests.conftest import CHANNELS, assert_same

#: (lanes, groups, chunk), as in test_kernels.py; chunks of whole bytes of bits.
PLANS = {
    "one pass": (32, 1, 70),
    "groups are warps": (32, 4, 70),
    "groups within a warp": (4, 8, 70),
    "chunks": (32, 1, 24),
    "chunks of groups": (8, 8, 64),
    "many chunks": (16, 2, 8),
}
#: Without resets, which this engine does not take.
FEATURES = [
    {"h0": h0, "reverse": reverse, "per_batch": rows, "packed": rows}
    for h0 in (False, True)
    for reverse, rows in ((False, False), (True, True))
]


def saved_on_cpu(call: testing.Call) -> torch.Tensor:
    numbers = call.entry.numbers(call.options)
    return torch.ops.lrnn_kernels.bmru(
        list(call.inputs), list(call.params), numbers, call.h0, None, None, call.reverse, True
    )[2]


def check_all(
    call: testing.Call, plan: tuple[int, int, int], backward: tuple[int, int, int] | None = None
) -> None:
    result = calls.run(
        call, kernel="bmru", forward_plan=Plan(*plan), backward_plan=Plan(*(backward or plan))
    )
    bad = calls.errors(call, result)
    assert not bad, "\n".join(
        f"{e.name}: error {e.error:.3g}, allowed {e.allowed:.3g}" for e in bad
    )
    assert_same(
        {name: result[name] for name in ("y", "h_last")},
        testing.run(call, "reference", gradients=False),
    )
    assert torch.equal(result["bits"], saved_on_cpu(call))


@pytest.fixture(autouse=True)
def interleaving(request):
    """Another order of threads, and another number of blocks at a time, for every test."""
    seed = sum(map(ord, request.node.name))
    calls.load().configure(resident=1 + seed % 5, seed=seed)


@pytest.mark.parametrize("features", FEATURES, ids=str)
@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("plan", PLANS)
def test_everything_bit_for_bit(plan, dtype, features):
    number = list(PLANS).index(plan) + 7 * FEATURES.index(features)
    call = testing.random_call(
        "bmru", 3, 70, CHANNELS[number % len(CHANNELS)], dtype=dtype, seed=number, **features
    )
    check_all(call, PLANS[plan])


@pytest.mark.parametrize("T", [0, 1, 2, 7, 8, 31, 32, 33, 34, 64, 65, 97])
def test_tails_of_time(T):
    """Bytes and words that are not full, and steps whose state before lies in another word."""
    for number, plan in enumerate(((32, 1, max(T, 1)), (8, 8, max(T, 1)), (4, 16, 16))):
        call = testing.random_call(
            "bmru", 2, T, (5, 16, 9)[number], dtype=REAL[(T + number) % 4], seed=T
        )
        check_all(call, plan, (4, 8, 17))


@pytest.mark.parametrize("plan", PLANS)
def test_channels_that_are_written_late_or_never(plan):
    """Before the first write the state is h0, whose value no bit tells."""
    call = testing.random_call("bmru", 2, 70, 11)
    c, beta = (x.clone() for x in call.inputs)
    for channel in range(11):
        c[:, : 8 * channel, channel] = 0.0
        beta[:, : 8 * channel, channel] = 1.0
    check_all(replace(call, inputs=(c, beta)), PLANS[plan])


@pytest.mark.parametrize("bytes_in_flight", [1, 1 << 14, 1 << 18])
def test_plans_as_they_are_made(bytes_in_flight):
    call = testing.random_call("bmru", 2, 700, 5)
    result = calls.run(call, kernel="bmru", bytes_in_flight=bytes_in_flight)
    assert not calls.errors(call, result)
    assert torch.equal(result["bits"], saved_on_cpu(call))


def test_chunks_of_broken_bytes_are_refused():
    with pytest.raises(RuntimeError):
        calls.run(
            testing.random_call("bmru", 2, 70, 5), kernel="bmru", forward_plan=Plan(32, 1, 20)
        )


def run_every_kernel(library, number: int) -> None:
    """For the sanitizers: a case per kernel, small and with tails."""
    for case, dtype in enumerate(REAL):
        library.configure(resident=3, seed=number + case)
        for plan in (Plan(32, 1, 45), Plan(4, 8, 16)):
            call = testing.random_call("bmru", 2, 45, (5, 8, 17, 1)[case], dtype=dtype)
            assert not calls.errors(
                call,
                calls.run(call, library, kernel="bmru", forward_plan=plan, backward_plan=plan),
            )
