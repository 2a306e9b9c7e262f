"""Ctrl-C during a long call: it is left at once, and leaves nothing behind. And signals whose
handlers let it go on."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from lrnn_kernels import fixed_point, memory, testing
from lrnn_kernels.calls.run import run as run_cell
from lrnn_kernels.cells import CELLS
from tests.conftest import assert_same

#: Seconds from a signal to the exception, as a person who waits for it would have it; of the main
#: thread's own time, which other work on the machine does not change.
PROMPT = 0.3


def _now() -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident))


def _streams(cell: str, B: int, T: int, C: int, gradients: bool = False, **options):
    """A call of a cell on half-precision inputs that are one element, expanded: what it reads
    takes no memory."""
    entry = CELLS[cell]
    inputs = [
        torch.full((1,), 0.3, dtype=torch.float16).expand(B, T, C).requires_grad_(gradients)
        for _ in entry.inputs
    ]
    params = [torch.full(shape, 0.01).requires_grad_(gradients) for shape in entry.param_shapes(C)]
    return run_cell(entry, inputs, params, {**entry.options, **options})


def _forward(cell: str, *sizes: int, **options):
    return lambda: lambda: _streams(cell, *sizes, **options)


def _backward(cell: str, *sizes: int, **options):
    def prepare():
        y, _ = _streams(cell, *sizes, gradients=True, **options)
        return lambda: torch.autograd.backward(y, y.detach())

    return prepare


def _classify():
    network = fixed_point.Network([np.ones((100, 784), np.int16)])
    images = np.full((100_000, 784), 99, np.uint8)
    return lambda: network.classify(images)


def _one_image():
    network = fixed_point.Network([np.ones((100, 784), np.int16)], accumulator_bits=32)
    return lambda: network.classify(np.full((1, 784), 99, np.uint8), 50_000_000)


def _encode():
    images = np.full((1, 24), 99, np.uint8)
    return lambda: fixed_point.traces(images, 50_000_000)


def _neurons():
    X = np.zeros((40_000_000, 1), np.int16)
    return lambda: fixed_point.neurons(X=X)


#: What takes a second or more on any processor of today: one narrow sequence in each engine,
#: forward and backward, and all that the rest of the time goes by in; two lanes are run by two
#: threads.
LONG = {
    "nbrc": _forward("nbrc", 8, 60_000, 256),
    "nbrc, one batch element": _forward("nbrc", 1, 150_000, 256),
    "nbrc backward": _backward("nbrc", 8, 20_000, 256),
    "affine": _forward("min_gru", 2, 100_000_000, 1),
    "affine backward": _backward("min_gru", 2, 40_000_000, 1),
    "last write wins": _forward("bmru", 2, 150_000_000, 1),
    "last write wins backward": _backward("bmru", 2, 60_000_000, 1),
    "step": _forward("brc", 2, 60_000_000, 1),
    "step backward": _backward("brc", 2, 30_000_000, 1),
    "checkpoints backward": _backward("src", 2, 20_000_000, 1, memory=4096),
    "fixed point": _classify,
    "fixed point, one image": _one_image,
    "traces": _encode,
    "neurons by hand": _neurons,
}


@contextmanager
def _signal_after(seconds: float, number: int, handler):
    """Sends the process a signal; yields a list to which the time of it is added."""
    sent = []

    def send():
        sent.append(_now())
        os.kill(os.getpid(), number)

    before = signal.signal(number, handler)
    timer = threading.Timer(seconds, send)
    timer.start()
    try:
        yield sent
    finally:
        timer.cancel()  # where the call was too short
        timer.join()
        signal.signal(number, before)


@pytest.mark.parametrize("what", LONG)
def test_ctrl_c_leaves_a_long_call_at_once(what):
    run = LONG[what]()
    gc.collect()
    in_use, threads = memory.stats().in_use, threading.active_count()
    with (
        _signal_after(0.05, signal.SIGINT, signal.default_int_handler) as sent,
        pytest.raises(KeyboardInterrupt),
    ):
        run()
    assert _now() - sent[0] < PROMPT
    assert threading.active_count() == threads
    gc.collect()
    assert memory.stats().in_use <= in_use
    call = testing.random_call("brc", B=3, T=40, C=17)
    assert all(error.ok for error in testing.check_call(call, "cpu"))


@pytest.mark.parametrize("what", ["nbrc", "affine", "fixed point"])
def test_what_another_handler_raises_comes_out_as_it_is(what):
    class Late(Exception):
        pass

    raised = Late("one hour is over")

    def handler(*_):
        raise raised

    run = LONG[what]()
    with _signal_after(0.05, signal.SIGUSR1, handler) as sent, pytest.raises(Late) as caught:
        run()
    assert _now() - sent[0] < PROMPT
    assert caught.value is raised


def test_a_handler_that_raises_nothing_runs_at_once_and_the_call_goes_on():
    """As those do that let a training loop stop after its step."""
    x = [torch.full((1,), 0.3).expand(8, 20_000, 256)] * 3
    w = [torch.randn(256, 256) / 16 for _ in range(2)]
    expected = run_cell(CELLS["nbrc"], x, w, {})
    seen = []
    with _signal_after(0.05, signal.SIGINT, lambda *_: seen.append(_now())) as sent:
        got = [run_cell(CELLS["nbrc"], x, w, {})]
        while not seen:
            got.append(run_cell(CELLS["nbrc"], x, w, {}))
    assert len(seen) == 1
    assert seen[0] - sent[0] < PROMPT
    for y, h_last in got:
        assert torch.equal(y, expected[0])
        assert torch.equal(h_last, expected[1])


def test_other_threads_are_not_interrupted():
    """Python's handlers run in its main thread only: a call elsewhere ends as always."""
    run, results = LONG["nbrc backward"](), []
    thread = threading.Thread(target=lambda: results.append(run()))

    def wait():
        thread.start()
        while thread.is_alive():
            time.sleep(0.01)

    with (
        _signal_after(0.05, signal.SIGINT, signal.default_int_handler),
        pytest.raises(KeyboardInterrupt),
    ):
        wait()
    thread.join()
    assert results == [None]


def test_an_operator_of_torch_ops_is_left_too():
    """As a compiled graph calls it: it raises RuntimeError, and the exception comes as soon as
    Python runs. It is never lost."""
    x = [torch.full((1,), 0.3).expand(8, 60_000, 256)] * 3
    w = [torch.full((256, 256), 0.01)] * 2

    def call():
        with pytest.raises(RuntimeError, match="interrupted by a signal"):
            torch.ops.lrnn_kernels.nbrc(x, w, [0.0], None, None, None, False, False)
        for _ in range(3):
            time.sleep(0)

    with (
        _signal_after(0.05, signal.SIGINT, signal.default_int_handler) as sent,
        pytest.raises(KeyboardInterrupt),
    ):
        call()
    assert _now() - sent[0] < PROMPT


def test_a_program_ends_by_ctrl_c():
    """Not caught: the traceback is KeyboardInterrupt's, and the exit status that of the signal."""
    code = """
import torch, lrnn_kernels
p, w = [torch.full((1,), 0.3).expand(8, 40000, 1024)] * 3, [torch.full((1024, 1024), 0.01)] * 2
lrnn_kernels.nbrc(*(x[:, :2] for x in p), *w)
print("ready", flush=True)
lrnn_kernels.nbrc(*p, *w)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    start = time.perf_counter()
    _, errors = child.communicate(timeout=60)
    assert time.perf_counter() - start < 3  # the interpreter ends, too
    assert child.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("cell", [name for name, row in CELLS.items() if not row.matrices])
def test_a_sequence_long_enough_to_be_interrupted_is_one(cell, resets):
    """Between two questions lie 2^22 channels and steps, of at least 32 channels a row: cut
    elsewhere, results are the same bits."""
    T, cut = 2 * 2**17 + 77, 150_001
    for options in testing.variants(cell):
        if options.get("memory", "states") != "states":
            options = {**options, "memory": 100}
        dtype = CELLS[cell].dtypes[0]
        call = testing.random_call(
            cell, B=1, T=T, C=2, dtype=dtype, reset=resets, reverse=resets, options=options
        )
        whole, parts = (
            _whole_and_parts(call, [(0, T)]),
            _whole_and_parts(call, [(cut, T), (0, cut)] if resets else [(0, cut), (cut, T)]),
        )
        assert_same(parts, whole)


def _whole_and_parts(call: testing.Call, pieces: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """y, the last states and the gradients of streams and h0, of a sequence run in pieces one
    after the other."""
    inputs = [x.detach().requires_grad_() for x in call.inputs]
    h0 = call.h0.detach().requires_grad_()
    outputs, state = {}, h0
    for start, stop in pieces:
        states = {
            "h0": state,
            "h_reset": call.h_reset,
            "reset": None if call.reset is None else call.reset[:, start:stop],
        }
        streams = [x[:, start:stop] for x in inputs]
        outputs[start], state = run_cell(
            call.entry, streams, list(call.params), call.options, **states, reverse=call.reverse
        )
    y = torch.cat([outputs[start] for start in sorted(outputs)], 1)
    grads = torch.autograd.grad([y, state], [*inputs, h0], [call.dy, call.dh_last])
    return {
        "y": y.detach(),
        "h_last": state.detach(),
        **{f"gradient {i}": g for i, g in enumerate(grads)},
    }
