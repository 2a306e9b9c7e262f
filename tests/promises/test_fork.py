"""In a child of fork() whose parent used several threads: operators run, with the same results,
where torch's own would wait for ever."""

import subprocess
import sys
import textwrap

import pytest

#: A parent that has used torch's threads and the fixed-point network's, and what it has computed;
#: then a child computes the same.
PARENT = """
import multiprocessing, os, signal
import numpy as np, torch, lrnn_kernels
from lrnn_kernels import fixed_point, memory, nn, testing
from lrnn_kernels.cells import CELLS

def limit_time(*_):
    signal.alarm(60)  # whoever waits for ever is ended

limit_time()
os.register_at_fork(after_in_child=limit_time)
torch.set_num_threads(4)
network = fixed_point.Network([np.random.default_rng(0).integers(-9, 10, (40, 64))])
images = np.random.default_rng(1).integers(0, 256, (300, 64), np.uint8)
calls = {
    cell: testing.random_call(
        cell, B=8, T=40 if row.matrices else 600, C=160, dtype=row.dtypes[0]
    )
    for cell, row in CELLS.items()
}
# Those whose states do not jump by rounding.
layers = {
    name: getattr(nn, name)(64, 256) for name in ("BRC", "LRU", "MinGRU", "NBRC", "SRC")
}
rows = torch.randn(2000, 64)
# Copied by torch, in parallel if it may.
strided = [torch.randn(8, 160, 600).transpose(1, 2) for _ in range(2)]

def results(gradients=False):
    found = {cell: testing.run(call, "cpu", gradients=gradients) for cell, call in calls.items()}
    with torch.no_grad():
        found |= {f"step of {name}": {"y": layer.step(rows)[0]} for name, layer in layers.items()}
    found["strided"] = {"y": lrnn_kernels.min_gru(*strided)[0]}
    found = {
        name: {key: x.detach().numpy() for key, x in result.items()}
        for name, result in found.items()
    }
    found["fixed point"] = network.classify(images, 20, threads=4)._asdict()
    return {f"{name} {key}": x for name, result in found.items() for key, x in result.items()}

def compare(found, expected):
    # With NumPy: torch's operators would wait. On one thread, sequences and sums are cut elsewhere.
    for name, x in found.items():
        assert np.abs(x - expected[name]).max() <= 2e-4 * max(np.abs(x).max(), 1), name

expected = results()

def child():
    compare(results(), expected)

def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0
"""

CHILDREN = {
    "os.fork": """
        pid = os.fork()
        if pid == 0:
            child()
            os._exit(0)
        wait(pid)
        child()  # the parent as before
    """,
    "multiprocessing": """
        worker = multiprocessing.get_context("fork").Process(target=child)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
    """,
    "a child's child": """
        held = lrnn_kernels.linear_scan(torch.zeros(256), torch.ones(4, 1024, 256))[0]
        pid = os.fork()
        if pid == 0:
            pid = os.fork()
            if pid == 0:
                del held
                memory.empty_cache()  # its own
                torch.set_num_threads(3)
                child()
                assert torch.get_num_threads() == 3  # ours was for the operators only
                os._exit(0)
            os._exit(os.waitpid(pid, 0)[1] != 0)
        wait(pid)
        assert (held == 1).all()
    """,
    # Where the parent took none: torch refuses them in a child otherwise.
    "gradients": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            pid = os.fork()
            if pid == 0:
                np.savez(folder + "/child.npz", **results(True))
                os._exit(0)
            wait(pid)
            compare(results(True), np.load(folder + "/child.npz"))
    """,
    "a data loader's workers": """
        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, i):  # 4 MiB: of the pool
                x = torch.full((4, 1024, 256), float(i))
                return lrnn_kernels.linear_scan(torch.zeros(256), x)[0]

        for workers, context in ((0, None), (2, "fork")):
            loaded = list(
                torch.utils.data.DataLoader(
                    Data(),
                    batch_size=None,
                    num_workers=workers,
                    multiprocessing_context=context,
                )
            )
            assert all((x == i).all() for i, x in enumerate(loaded))
    """,
}


def _run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("what", CHILDREN)
def test_a_child_of_a_parent_with_threads(what):
    _run(PARENT + textwrap.dedent(CHILDREN[what]))


def test_a_child_of_a_parent_that_used_no_threads_has_its_own():
    """There is nothing to wait for then, and threads work: the plan has as many as torch was
    asked for. NumPy's BLAS may have some."""
    code = """
    import os, torch, lrnn_kernels
    small = torch.ones(1, 3, 4)
    lrnn_kernels.min_gru(small, small)
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(4)
        before = len(os.listdir("/proc/self/task"))
        x = torch.ones(1).expand(8, 4096, 64)
        threads = torch.ops.lrnn_kernels.plan("min_gru", [x, x], [], False, [])[0]
        lrnn_kernels.min_gru(x, x)
        os._exit(not (threads == 4 and len(os.listdir("/proc/self/task")) > before))
    assert os.waitpid(pid, 0)[1] == 0
    """
    _run(textwrap.dedent(code))
