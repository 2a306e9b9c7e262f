"""The fixed-point network: golden vectors, the compiled kernels equal the reference bit for bit,
overflows are told exactly."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrnn_kernels import fixed_point as fp
from lrnn_kernels.fixed_point import check

BACKENDS = ["cpu", "reference"]
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    return request.param


def _images(rng: np.random.Generator, number: int, pixels: int) -> np.ndarray:
    """Mostly black, as digits are."""
    return (rng.integers(0, 256, (number, pixels)) * (rng.random((number, pixels)) < 0.3)).astype(
        np.uint8
    )


def _both(run):
    """The result of run(backend) on the compiled kernels, after a comparison with the
    reference's."""
    compiled = run("cpu")
    assert check.equal(compiled, run("reference"))
    return compiled


def test_golden_vector(backend):
    """A neuron at rest, X = +1023 held."""
    states = fp.neurons(X=np.full((220, 1), 1023), backend=backend)
    assert states.h[:36, 0].tolist() == [-1024] * 11 + [-799, -258, 572, 1023] + [-1024] * 16 + [
        -829,
        -327,
        468,
        1023,
        1023,
    ]
    slow = [
        0,
        -124,
        -233,
        -329,
        -414,
        -488,
        -553,
        -611,
        -662,
        -706,
        -745,
        -779,
        -782,
        -719,
        445,
        966,
        725,
        513,
        326,
        162,
        18,
        -109,
    ]
    assert states.h_s[:22, 0].tolist() == slow
    spikes = (np.flatnonzero(states.spike) + 1).tolist()  # steps are counted from 1 there
    assert spikes[:8] == [14, 15, 35, 36, 56, 57, 77, 78]
    assert len(spikes) == 20
    assert spikes == [14 + 21 * n + half for n in range(10) for half in (0, 1)]


def test_a_neuron_held_low_never_fires(backend):
    assert not fp.neurons(X=np.full((3000, 1), -1024), backend=backend).spike.any()


def test_the_current_leaks_and_drives(backend):
    """I = 100, then I - (I>>4) - (I>>5): 100, 91, 84, 77, ...; below zero shifts round down."""
    total = np.zeros((5, 2), np.int64)
    total[0] = 100, -100
    states = fp.neurons(total=total, backend=backend)
    assert states.I[:, 0].tolist() == [100, 91, 84, 77, 71]
    assert states.I[:, 1].tolist() == [-100, -89, -80, -72, -64]
    assert states.X[0].tolist() == [1023, -1024]


def test_two_layers_in_one_step(backend):
    """A layer's spikes reach the next in the same step; +10 for the own class, -1 for the
    others, the first largest wins."""
    always = fp.Traces.pack(np.ones((1, 40, 1), np.bool_))
    network = fp.Network(
        [np.full((13, 1), 100), np.vstack([np.zeros((2, 13), int), np.full((1, 13), 7)])]
    )
    states = network.states(always, backend=backend)
    first, second = states.layers
    assert first.spike.any(1).nonzero()[0].tolist() == [13, 14, 34, 35]
    assert second.I[12:14, 2].tolist() == [0, 13 * 7]
    fired = int(second.spike[:, 2].sum())
    result = network.run(always, backend=backend)
    assert fired == 4  # 14 steps after the first spikes, while the current lasts
    assert result.votes.tolist() == [[-fired] * 2 + [10 * fired] + [-fired] * 7]
    assert result.labels.tolist() == [2]
    assert result.spikes.tolist() == [[4 * 13, fired]]
    silent = fp.Traces.pack(np.zeros((1, 40, 1), np.bool_))
    assert network.run(silent, backend=backend).labels.tolist() == [0]


@given(
    sizes=st.sampled_from(
        [
            (784, 37),
            (784, 100),
            (1, 1),
            (8, 32),
            (63, 129),
            (64, 33, 31),
            (13, 257, 20, 3),
            (784, 100, 10),
        ]
    ),
    frames=st.integers(0, 60),
    number=st.integers(0, 4),
    largest=st.sampled_from([1, 8, 16, 256, 2500]),
    seed=SEEDS,
)
def test_kernels_equal_the_reference(sizes, frames, number, largest, seed):
    rng = np.random.default_rng(seed)
    network = check.random_network(rng, sizes, largest)
    images = _images(rng, number, sizes[0])
    result = _both(lambda backend: network.classify(images, frames, seed=seed, backend=backend))
    assert result.labels.shape == (number,)
    assert result.spikes.shape == (number, len(sizes) - 1)
    traces = fp.traces(images, frames, seed=seed)
    assert np.array_equal(
        traces.bits, fp.traces(images, frames, seed=seed, backend="reference").bits
    )
    assert check.equal(network.run(traces), result)
    if number:
        states = _both(lambda backend: network.states(traces, number - 1, backend=backend))
        assert [layer.I.shape for layer in states.layers] == [(frames, n) for n in sizes[1:]]
        assert [layer.spike.sum() for layer in states.layers] == result.spikes[-1].tolist()
        if frames:
            assert states.votes[-1].tolist() == result.votes[-1].tolist()


@given(steps=st.integers(0, 80), neurons=st.integers(1, 70), seed=SEEDS)
def test_driven_neurons_equal_the_reference(steps, neurons, seed):
    """Every state that a neuron can reach, by X and totals that change at random."""
    rng = np.random.default_rng(seed)
    X = rng.choice([-1024, 1023], (steps, neurons))
    _both(lambda backend: fp.neurons(X=X, backend=backend))
    total = rng.integers(-2500, 2501, (steps, neurons))
    _both(lambda backend: fp.neurons(total=total, backend=backend))


@given(seed=SEEDS, cut=st.integers(0, 9), threads=st.integers(1, 5))
def test_neither_threads_nor_pieces_change_a_bit(seed, cut, threads):
    rng = np.random.default_rng(seed)
    network = check.random_network(rng, (100, 37, 10), 300)
    images = _images(rng, 9, 100)
    whole = network.classify(images, 33, seed=seed, threads=1)
    assert check.equal(network.classify(images, 33, seed=seed, threads=threads), whole)
    pieces = [
        network.classify(part, 33, seed=seed, first=first)
        for part, first in ((images[:cut], 0), (images[cut:], cut))
    ]
    assert check.equal(
        fp.Classification(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True))), whole
    )


def test_floats_are_rounded_to_grey_levels():
    images = _images(np.random.default_rng(0), 3, 50)
    network = check.random_network(np.random.default_rng(1), (50, 20), 16)
    for dtype in (np.float32, np.float64):
        assert check.equal(
            network.classify((images / 255).astype(dtype), 44), network.classify(images, 44)
        )


def test_strided_images_and_weights_are_read_as_they_are():
    rng = np.random.default_rng(0)
    images, weights = _images(rng, 6, 40), rng.integers(-9, 10, (30, 40))
    expected = fp.Network([weights.copy()]).classify(images[::2].copy(), 30)
    assert check.equal(
        fp.Network([np.asfortranarray(weights)]).classify(np.asfortranarray(images)[::2], 30),
        expected,
    )


def test_a_network_keeps_its_weights_and_can_be_pickled():
    weights = np.full((3, 4), 50)
    network, images = fp.Network([weights]), np.full((1, 4), 255, np.uint8)
    before = network.classify(images, 55)
    weights[:] = 0
    assert check.equal(network.classify(images, 55), before)
    assert check.equal(pickle.loads(pickle.dumps(network)).classify(images, 55), before)


@pytest.mark.parametrize(("weight", "fast"), [(2829, True), (2829, False), (-2829, True)], ids=str)
def test_an_overflow_is_told_exactly(weight, fast, backend):
    """I rises to 30000 and beyond; which image, layer, neuron and step is told, and the value."""
    weights = np.zeros((70, 20 if fast else 2000), np.int64)
    weights[66, 1] = weight
    spikes = np.zeros((4, 400, weights.shape[1]), np.bool_)
    spikes[2:, :, 1] = True
    if not fast:
        spikes[2:, :, 100:] = True  # so many spikes of that weight would not fit 16 bits
    current = step = 0
    while abs(current := current - ((current >> 4) + (current >> 5)) + weight) <= 30000:
        step += 1
    with pytest.raises(OverflowError) as raised:
        fp.Network([weights]).run(fp.Traces.pack(spikes), backend=backend)
    assert (
        str(raised.value)
        == f"layer 0, neuron 66, step {step}, image 2: I = {current} is beyond +-30000"
    )
    with pytest.raises(OverflowError, match=f"layer 0, neuron 0, step {step}: I = {current} "):
        fp.neurons(total=np.full((400, 1), weight), backend=backend)


@pytest.mark.parametrize(
    ("inputs", "weight"), [(8, 8192), (4, 16384), (3, -21846), (65535, 32767)], ids=str
)
def test_sums_that_16_bits_would_wrap_to_little(inputs, weight, backend):
    network = fp.Network([np.full((2, inputs), weight)])
    with pytest.raises(
        OverflowError, match=f"layer 0, neuron 0, step 0, image 0: I = {inputs * weight} is"
    ):
        network.run(fp.Traces.pack(np.ones((1, 1, inputs), np.bool_)), backend=backend)


def test_the_lowest_image_is_told_even_if_it_overflows_last():
    spikes = np.zeros(
        (2, 2_000_000, 1), np.bool_
    )  # long enough for a second thread to be done with the other image
    spikes[1:, 0] = True
    spikes[0, -1] = True
    with pytest.raises(OverflowError, match="step 1999999, image 0: I = 30001"):
        fp.Network([np.full((1, 1), 30001)]).run(fp.Traces.pack(spikes), threads=4)


@pytest.mark.parametrize("total", [[30000, 2812], [-30000], [-30000, -2813]], ids=str)
def test_the_limit_of_a_current_itself_is_allowed(total, backend):
    for run in _runs(total, backend):
        run()


@pytest.mark.parametrize(
    ("total", "current"),
    [
        ([30001], 30001),
        ([-30001], -30001),
        ([30000, 2813], 30001),
        ([30000, 32767], 59955),
        ([-30000, -32767], -59954),
    ],
    ids=str,
)
def test_anything_beyond_the_limit_raises(total, current, backend):
    for run in _runs(total, backend):
        with pytest.raises(
            OverflowError, match=f"step {len(total) - 1}.*: I = {current} is beyond"
        ):
            run()


def _runs(total: list[int], backend: str) -> list:
    """Two ways to drive a neuron: step t's total as the weight of input t, which spikes then,
    and by hand."""
    network = fp.Network([np.array([total])])
    spikes = fp.Traces.pack(np.eye(len(total), dtype=np.bool_)[None])
    return [
        lambda: network.run(spikes, backend=backend),
        lambda: fp.neurons(total=np.array(total)[:, None], backend=backend),
    ]


@given(seed=SEEDS, largest=st.integers(300, 32767), threads=st.integers(1, 3))
def test_overflows_equal_the_references(seed, largest, threads):
    """Of several images that overflow, the lowest is told, whichever thread is first."""
    rng = np.random.default_rng(seed)
    network = fp.Network(
        [rng.integers(-largest, largest + 1, (n, m)) for n, m in ((50, 40), (20, 50))],
        accumulator_bits=7,
    )
    spikes = fp.Traces.pack(rng.random((7, 60, 40)) < rng.random((7, 1, 1)) ** 4)
    messages = []
    for backend in BACKENDS:
        try:
            network.run(spikes, threads=threads, backend=backend)
            messages.append("none")
        except OverflowError as error:
            messages.append(str(error))
    assert messages[0] == messages[1]


def test_an_accumulator_that_is_too_narrow(backend):
    network = fp.Network([np.full((10, 1), 100)], accumulator_bits=5)
    traces = fp.Traces.pack(np.ones((2, 100, 1), np.bool_))
    assert network.run(traces, backend=backend).votes.max() <= 15
    lone = fp.Network([np.full((1, 1), 100)], accumulator_bits=5)
    with pytest.raises(
        OverflowError,
        match=r"accumulator of class 0, step 14, image 0: 20 is outside \[-16, 15\], 5 bits",
    ):
        lone.run(traces, backend=backend)
    with pytest.raises(OverflowError, match="accumulator of class 0, step 14, image 0"):
        lone.states(traces, backend=backend)


def test_quantize():
    weights = np.array([[0.5, -2.0], [0.125, 0.375], [1.0, 1.5]], np.float32)
    quantized = fp.quantize(weights, 4)
    assert quantized.weights.tolist() == [[1, -4], [0, 1], [2, 3]]  # 0.25 down, 0.75 up
    assert quantized.weights.dtype == np.int16
    assert quantized.scale == 2.0
    assert fp.quantize(np.array([[0.5, 1.5, -2.5, 8.0]]), 8).weights.tolist() == [
        [0, 2, -2, 8]
    ]  # halves to even
    assert fp.quantize(weights, 256).weights.min() == -256


def test_the_check_finds_a_defect(monkeypatch):
    from lrnn_kernels.fixed_point import reference

    assert check.run_check(2) == (26, [])
    real = reference.fire
    monkeypatch.setattr(
        reference,
        "fire",
        lambda *args: (step := real(*args))._replace(h_s=step.h_s + (step.h == 1023)),
    )
    assert check.run_check(2)[1]


def test_copies_of_a_network_stay_closed():
    """Weights of a copied or unpickled network are read-only again: the compiled network would
    not follow a change."""
    network = fp.Network([np.ones((10, 4), np.int16)])
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        with pytest.raises(ValueError, match="read-only"):
            copied.weights[0][:] = 0
