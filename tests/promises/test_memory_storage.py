"""Outputs of the pool as torch's tensors: what may be done with their storages, and the switch
for what may not."""

import copy
import io
import pickle

import pytest
import torch

import lrnn_kernels
from lrnn_kernels import memory


def _output() -> torch.Tensor:
    """4 MiB, each element its own."""
    return lrnn_kernels.linear_scan(torch.zeros(256), torch.arange(2.0**20).view(4, 1024, 256))[0]


def _saved_and_loaded(y: torch.Tensor) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(y, file)
    file.seek(0)
    return torch.load(file)


def _freed_and_filled(y: torch.Tensor) -> torch.Tensor:
    """What activation offloading and FSDP do: the memory goes, the tensor stays, the values come
    back."""
    kept, bytes_ = y.clone(), y.untyped_storage().nbytes()
    y.untyped_storage().resize_(0)
    assert y.untyped_storage().nbytes() == 0
    y.untyped_storage().resize_(bytes_)
    return y.copy_(kept)


def _enlarged(y: torch.Tensor) -> torch.Tensor:
    return y.resize_(5, 1024, 256)[:4]


def _an_output_of_another_shape(y: torch.Tensor) -> torch.Tensor:
    expected = y.clone()
    y.resize_(0)
    return torch.add(torch.cat([expected, expected]), 0, out=y)[:4]


def _swapped(y: torch.Tensor) -> torch.Tensor:
    other = torch.zeros(3)
    torch.utils.swap_tensors(y, other)
    return other


ALWAYS = {
    "pickled": lambda y: pickle.loads(pickle.dumps(y)),
    "saved": _saved_and_loaded,
    "copied": copy.deepcopy,
    "cloned": torch.clone,
    "in shared memory": lambda y: y.share_memory_(),
    "set": lambda y: torch.empty(0).set_(y.untyped_storage(), 0, y.shape),
    "set to nothing": lambda y: y.clone() if y.detach().set_().numel() == 0 else None,
    "of the same size": lambda y: y.resize_(4, 1024, 256),
    "smaller, and again as large": lambda y: y.resize_(4, 3, 256).resize_(4, 1024, 256),
    "as NumPy's": lambda y: torch.from_numpy(y.numpy()),
    "by DLPack": lambda y: torch.from_dlpack(y),
    "assigned": lambda y: (lambda z: (setattr(z, "data", y), z)[1])(torch.zeros(2)),
    "swapped": _swapped,
}
LARGER = {
    "freed and filled": _freed_and_filled,
    "enlarged": _enlarged,
    "an output of another shape": _an_output_of_another_shape,
}


@pytest.mark.parametrize("what", ALWAYS)
def test_an_output_is_a_tensor_like_others(what):
    expected = torch.arange(2.0**20).view(4, 1024, 256)
    in_use = memory.stats().in_use
    y = _output()
    assert memory.stats().in_use > in_use
    assert y.untyped_storage().nbytes() == 4 * y.numel()
    assert y.data_ptr() % 64 == 0
    assert torch.equal(ALWAYS[what](y), expected)
    del y
    assert memory.stats().in_use == in_use


@pytest.mark.parametrize("what", LARGER)
def test_its_memory_cannot_be_replaced_but_with_the_pool_off(what):
    """torch makes no storage over memory that it has not allocated resizable, which is said, and
    changes nothing."""
    expected = torch.arange(2.0**20).view(4, 1024, 256)
    y = _output()
    assert not y.untyped_storage().resizable()
    with pytest.raises(RuntimeError, match="Trying to resize storage that is not resizable"):
        LARGER[what](y)
    y = y.resize_(4, 1024, 256)
    assert torch.equal(y, expected)
    assert torch.equal(LARGER[what](y.clone()), expected)  # a copy is torch's own
    limit = memory.stats().limit
    memory.set_limit(0)
    try:
        y = _output()
        assert y.untyped_storage().resizable()
        assert torch.equal(LARGER[what](y), expected)
    finally:
        memory.set_limit(limit)
