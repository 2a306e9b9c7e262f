"""The noise current: its numbers, its spectrum, and that they depend on seed, neuron and time
alone."""

import math

import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import noise
from tests.systems.neurons.cases import BACKENDS, STG, agrees, same, simulate


def test_philox_gives_its_authors_words():
    """Known answers of Random123."""

    def words(counter, seed):
        found = noise.philox(tuple(torch.tensor([c]) for c in counter), seed)
        return " ".join(f"{int(x):08x}" for x in found)

    most = 2**32 - 1
    assert words((0, 0, 0, 0), 0) == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"
    assert words((most,) * 4, 2**64 - 1) == "408f276d 41c83b0e a20bc7c6 6d5451fd"
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert words(pi, 0x299F31D0A4093822) == "d16cfe09 94fdcceb 5001e420 24126ea1"


def test_white_numbers_are_normal_and_independent():
    z = noise.white(torch.arange(400), 0, 2500, seed=3).double()
    n = z.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert (z**power).mean().item() == pytest.approx(moment, abs=5 * (variance / n) ** 0.5)
    for lag in (1, 2, 3, 4):  # within and beyond a block
        assert abs((z[:, lag:] * z[:, :-lag]).mean().item()) < 5 / n**0.5
    assert abs((z[1:] * z[:-1]).mean().item()) < 5 / n**0.5


def test_radius_and_circle_are_those_of_float64():
    edges = [0, 1, 255, 256, 2**31, 2**32 - 1]
    drawn = torch.randint(0, 2**32, (100000,), generator=torch.Generator().manual_seed(0))
    word = torch.cat((torch.tensor(edges), drawn, torch.arange(16) << 28))
    u = ((word >> 8) + 1).double() * 2.0**-24
    radius = torch.sqrt(-2 * u.log())
    assert (noise.radius(word).double() - radius).abs().max() < 1e-6
    angle = (word >> 8).double() * (2 * math.pi / 2**24)
    cosine, sine = noise.circle(word)
    assert (cosine.double() - angle.cos()).abs().max() < 2e-7
    assert (sine.double() - angle.sin()).abs().max() < 2e-7


@pytest.mark.parametrize(("sampling", "share"), [(0.1, 0.424), (0.05, 0.299)])
def test_the_filter_is_butterworths_twice(sampling, share):
    """|H|^2 = 1 / (1 + (tan / tan)^8) for one pass; the standard deviation that is left."""
    sections, transients = noise.sections(1000.0, sampling), torch.zeros(8, 1)
    impulse = torch.zeros(4000)
    impulse[0] = 1
    response = torch.cat([noise.low_pass(x[None], transients, sections) for x in impulse])
    assert response.square().sum().sqrt().item() == pytest.approx(share, abs=1e-3)
    gain = torch.fft.rfft(response.double()).abs()
    f = torch.fft.rfftfreq(4000, sampling / 1000, dtype=torch.float64)
    warped = torch.tan(math.pi * f * sampling / 1000) / math.tan(math.pi * sampling)
    torch.testing.assert_close(gain, 1 / (1 + warped**8), atol=1e-5, rtol=0)


def test_numbers_do_not_depend_on_how_they_are_asked_for():
    whole = noise.white(torch.arange(9), 0, 40, seed=2**63 + 5)
    for first, count in ((0, 40), (1, 3), (3, 1), (4, 8), (7, 33), (39, 1)):
        part = noise.white(torch.tensor([8, 2]), first, count, seed=2**63 + 5)
        assert torch.equal(part, whole[[8, 2], first : first + count])
    assert not torch.equal(whole, noise.white(torch.arange(9), 0, 40, seed=5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_population_in_pieces_has_the_noise_of_the_whole(backend):
    """The very spikes: neurons in any cut, by their numbers, and time in any pieces."""
    sigma = torch.tensor([5.0, 3.0, 0.0], dtype=torch.float64)
    options = {"dt": 0.05, "seed": 4}
    whole = simulate("stg", 40, backend, noise=sigma, **options)
    part = simulate("stg", 40, backend, STG[1:], noise=neurons.Noise(sigma[1:], first=1), **options)
    n = len(neurons.STG.states)
    assert torch.equal(part.state.values[:, n + 3 :], whole.state.values[1:, n + 3 :])
    assert agrees(part.state.values, whole.state.values[1:], backend)
    state = None
    for T in (0.05, 10.0, 0.15, 29.8):  # between two samples of noise, too
        piece = simulate("stg", T, backend, noise=sigma, state=state, **options)
        state = piece.state
    assert torch.equal(state.values, whole.state.values)
    quiet = simulate("stg", 40, backend, STG[2:], **options)
    assert agrees(quiet.state.values[0, :n], whole.state.values[2, :n], backend)
    assert not same(whole, simulate("stg", 40, backend, noise=sigma, **{**options, "seed": 5}))


def test_noise_may_begin_later():
    """The filters have run when it begins: its size is right at once, wherever that is."""
    many = STG[:1].repeat(3000, 1)
    for steps in (0, 1, 2):
        settings = noise.settings(neurons.Noise(2.0), 0.1, 0.05, many, 7)
        stream = noise.Stream(settings, noise.start(settings, steps), steps, 3)
        for step in range(steps, steps + 3):
            # at the middle between samples, and 1/4 from one: less than 0.424 sigma
            assert 0.70 < stream.at(step).std().item() < 0.86


def test_a_stream_is_the_filtered_sequence():
    """Sample warm_up + k of the filtered white numbers is at k sampling; between them, lines."""
    settings = noise.settings(neurons.Noise(2.0, sampling=0.2), 0.1, 0.05, STG, 7)
    numbers, transients = noise.white(settings.neurons, 0, 70, 7), torch.zeros(8, 3)
    filtered = [noise.low_pass(x, transients, settings.sections) for x in numbers.unbind(1)]
    assert (settings.every, settings.warm_up) == (4, 50)
    stream = noise.Stream(settings, noise.start(settings, 0), 0, 40)
    for step in range(40):
        k, w = 50 + step // 4, (step % 4 + 0.5) / 4
        expected = 2.0 * (filtered[k] + w * (filtered[k + 1] - filtered[k])).double()
        torch.testing.assert_close(stream.at(step), expected, rtol=1e-6, atol=1e-7)
