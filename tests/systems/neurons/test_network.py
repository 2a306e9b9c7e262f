"""DICsNet: its parts against torch's own, what it is trained to, and that training goes on."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from lrnn_kernels import neurons
from lrnn_kernels.neurons import network
from lrnn_kernels.neurons.network import augmentation, blocks, features, losses, uncertainty


def trains(*counts: int, seed: int = 0) -> neurons.Spikes:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.rand(n, generator=generator, dtype=torch.float64)  # noqa: E731
    return neurons.Spikes.from_lists([(draw(n) * 80 + 2).cumsum(0) for n in counts])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return neurons.DICsNet().eval()


def examples(count: int = 64, seed: int = 0) -> network.Examples:
    """Regular trains of a rate, and bursts, that stand for two DICs each."""
    generator = torch.Generator().manual_seed(seed)
    lists, dics = [], []
    for number in range(count):
        a, b = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        times = torch.arange(30, dtype=torch.float64) * (20 + 60 * a)
        if number % 2:
            times = (torch.arange(6.0)[:, None] * 150 + torch.arange(5) * (4 + 8 * a)).flatten()
        lists.append(times.double())
        dics.append((20 * a - 10, 10 * b))
    return network.Examples.of(neurons.Spikes.from_lists(lists), torch.tensor(dics))


def test_it_has_the_published_number_of_parameters(net):
    assert sum(x.numel() for x in net.parameters()) == 115_563
    assert sum(x.numel() for x in net.lora().parameters() if x.requires_grad) == 39_840
    with pytest.raises(ValueError, match="it has some already"):
        net.lora()


def test_an_encoder_is_torchs_post_norm_attention():
    torch.manual_seed(1)
    block = blocks.Encoder(64, 8, 0.0).double()
    x = torch.randn(3, 7, 64, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    attention = torch.nn.MultiheadAttention(64, 8, batch_first=True, dtype=torch.float64)
    attention.load_state_dict(
        {
            "in_proj_weight": block.query_key_value.weight,
            "in_proj_bias": block.query_key_value.bias,
            "out_proj.weight": block.out.weight,
            "out_proj.bias": block.out.bias,
        }
    )
    y = block.norm(x + attention(x, x, x, key_padding_mask=~mask)[0])
    part = block.feed_forward
    y = part.norm(y + F.gelu(part.pair.second(F.gelu(part.pair.first(y)))))
    bias = torch.zeros(3, 7, dtype=torch.float64).masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(block(x, bias[:, None, None])[mask], y[mask])


def test_the_pool_weighs_what_it_sees_by_its_query():
    torch.manual_seed(2)
    pool, x = blocks.Pool(64), torch.randn(2, 5, 64)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    for b, count in enumerate((5, 2)):
        seen = x[b, :count]
        weights = torch.softmax(pool.key(seen) @ pool.query / 8, 0)
        torch.testing.assert_close(pool(x, mask)[b], weights @ seen)


def test_positions_are_sines_and_cosines():
    table = blocks.positions(5, 64, torch.empty(0))
    for place in range(5):
        for pair in range(32):
            angle = place / 10000 ** (2 * pair / 64)
            assert table[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_features_are_logarithms_of_intervals_and_their_change():
    spikes = neurons.Spikes.from_lists([[5.0, 15.0, 18.0, 19.0], [-2.0, 40.0, 41.5]])
    x, mask = features.of_spikes(spikes, torch.float64)
    logs = [[math.log1p(isi) for isi in row] for row in ([10, 3, 1], [42, 1.5])]
    assert mask.tolist() == [[True, True, True], [True, True, False]]
    assert x[1, 2].tolist() == [0, 0]
    for b, row in enumerate(logs):
        changes = [0.0] + [b - a for a, b in itertools.pairwise(row)]
        expected = torch.tensor([row, changes], dtype=torch.float64).T
        torch.testing.assert_close(x[b, : len(row)], expected)
    late = neurons.Spikes.from_lists([[1e9 + t for t in (5.0, 15.0, 18.0, 19.0)]])
    torch.testing.assert_close(features.of_spikes(late).x[0], x[0].float())


def test_a_train_is_read_alike_alone_and_beside_others(net):
    spikes = trains(40, 3, 250, 2, 0, 7, 300)
    together = net.predict(spikes)
    for batch in (1, 300, 10**6):
        for a, b in zip(net.predict(spikes, batch=batch), together, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
    for b in range(len(spikes)):
        for x, whole in zip(net.predict(spikes[[b]]), together, strict=True):
            torch.testing.assert_close(x[0], whole[b], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_silent_trains_get_nothing_and_long_ones_are_cut(net):
    found = net.predict(trains(2, 40, 0))
    assert found.firing_class[[0, 2]].tolist() == [0, 0]
    for part in (found.g_s, found.g_u, found.uncertainty, found.metrics):
        assert part[[0, 2]].isnan().all()
        assert part[1].isfinite().all()
    assert found.g_u[1] >= 0
    assert found.firing_class[1] in (1, 2)
    long = trains(400)
    cut = neurons.Spikes.from_lists([long[0][:250]])
    assert net.predict(long).g_s == net.predict(cut).g_s
    assert len(net.predict(trains()).g_s) == 0


def test_predicting_leaves_the_mode_as_it_was(net):
    net.train()
    first, again = (net.predict(trains(30, 50)) for _ in range(2))
    assert net.training
    assert torch.equal(first.g_s, again.g_s)
    with pytest.raises(TypeError, match=r"spikes must be neurons.Spikes, .*, got list"):
        net.predict([[1.0, 2.0]])
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        net.predict(trains(3), batch=0)


def test_the_loss_is_as_it_is_written():
    dics = torch.tensor([[1.0, 5.0], [-3.0, 0.5]])
    target = torch.tensor([[0.5, 2.0], [-1.0, 0.5]])
    log_sigma = torch.tensor([[0.3, 7.0], [-9.0, 0.0]])
    total = 0.0
    for b in range(2):
        for i in range(2):
            off = abs(dics[b, i].item() - target[b, i].item())
            huber = off * off / 2 if off < 1 else off - 0.5
            s = min(max(log_sigma[b, i].item(), -5), 2)
            total += (huber / (math.exp(s) ** 2 + 1e-6) + 2 * s) / 2
    assert losses.dic_loss(dics, log_sigma, target).item() == pytest.approx(total, rel=1e-5)


def test_metrics_that_are_not_defined_teach_nothing():
    out = network.Outputs(*(torch.randn(3, n, requires_grad=True) for n in (2, 2, 2, 5)))
    target = torch.rand(3, 5)
    target[1, 2] = target[2] = torch.nan
    parts = losses.training_loss(
        out, network.Targets(torch.zeros(3, 2), torch.tensor([0, 1, 1]), target)
    )
    parts.total.backward()
    known = target.isfinite()
    assert out.metrics.grad.isfinite().all()
    assert torch.equal(out.metrics.grad != 0, known)
    expected = F.huber_loss(out.metrics[known], target[known])
    torch.testing.assert_close(parts.metrics, expected)
    kind = F.cross_entropy(out.logits, torch.tensor([0, 1, 1]))
    total = parts.dics + 5.4432 * kind + 9.1892 * expected
    torch.testing.assert_close(parts.total, total)


def test_windows_are_half_of_a_train_at_least():
    spikes = trains(*(count for count in (3, 4, 9, 60, 230) for _ in range(200)))
    held = spikes.offsets.diff()
    generator = torch.Generator().manual_seed(0)
    first, length = augmentation.windows(spikes, 250, generator)
    assert (2 * length >= held).all()
    assert (length >= 3).all()
    assert (first >= 0).all()
    assert (first + length <= held).all()
    of_60 = held == 60
    assert set(length[of_60].tolist()) == set(range(30, 61))
    assert (first + length)[of_60].max() == 60
    _, short = augmentation.windows(spikes, 20, generator)
    assert short.max() == 20


def test_blurred_trains_miss_spikes_and_jitter():
    times = (torch.arange(200.0, dtype=torch.float64) * 100).repeat(100, 1)
    times[50:, 150:] = torch.inf
    blurred = augmentation.blurred(times, torch.Generator().manual_seed(0))
    finite = blurred[blurred.isfinite()]
    assert 0.94 < len(finite) / times.isfinite().sum() < 0.96
    off = finite - (finite / 100).round() * 100
    assert off.std().item() == pytest.approx(2.0, rel=0.03)
    assert (blurred.diff(dim=1)[:, :100] > 0).all()
    assert blurred[:, :2].isfinite().all()


def test_an_augmented_batch_is_its_windows():
    spikes = trains(60, 9)
    first, length = torch.tensor([10, 2]), torch.tensor([30, 7])
    augmented = augmentation.augmented(spikes, first, length, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    padded = torch.full((2, 30), torch.inf, dtype=torch.float64)
    padded[0], padded[1, :7] = spikes[0][10:40], spikes[1][2:9]
    expected = features.of_times(augmentation.blurred(padded, generator))
    assert torch.equal(augmented.x, expected.x)
    assert torch.equal(augmented.mask, expected.mask)


def trained(seen, schedule, **given):
    torch.manual_seed(0)
    training = network.Training(neurons.DICsNet(), seen, schedule, **given)
    return training


def test_training_learns_and_goes_on_with_the_same_bits(tmp_path):
    seen, other = examples(), examples(seed=1)
    schedule = network.Schedule(samples=4000, batch=32, warm_up=20, longest=16)
    whole = trained(seen, schedule, validation=other)
    whole.run()
    assert len(whole.curve) > 50
    assert [samples for samples, _ in whole.errors] == sorted({s for s, _ in whole.errors})
    assert len(whole.errors) == 10
    assert whole.curve[-1][2] < whole.curve[0][2] - 5
    assert network.evaluate(whole.net, other)["class accuracy"] > 0.95

    class Stop(Exception):
        pass

    def stop(share):
        if share > 0.4:
            raise Stop

    path = tmp_path / "run.pt"
    part = trained(seen, schedule, validation=other, path=path)
    with pytest.raises(Stop):
        part.run(stop)
    torch.manual_seed(5)
    rest = network.Training(neurons.DICsNet(), seen, schedule, validation=other, path=path)
    assert rest.steps == part.steps > 0
    rest.run()
    for name, x in whole.net.state_dict().items():
        assert torch.equal(x, rest.net.state_dict()[name]), name
    assert rest.errors == whole.errors
    assert [x[2] for x in rest.curve] == [x[2] for x in whole.curve]
    with pytest.raises(ValueError, match=r"got .*run.pt of one with other examples, seed"):
        network.Training(neurons.DICsNet(), other[torch.arange(9)], schedule, seed=3, path=path)
    with pytest.raises(ValueError, match="examples must hold neurons, got none"):
        network.Training(neurons.DICsNet(), other[torch.arange(0)], schedule)


def test_a_budget_is_of_samples_or_of_seconds():
    training = trained(examples(), network.Schedule(seconds=0.5, batch=8))
    training.run()
    assert 0.5 <= training.seconds < 20
    assert training.steps > 0
    with pytest.raises(ValueError, match="exactly one must be given"):
        network.Schedule()
    with pytest.raises(ValueError, match="exactly one must be given"):
        network.Schedule(samples=3, seconds=4.0)


def test_adapters_alone_are_trained():
    torch.manual_seed(0)
    net = neurons.DICsNet().lora()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    network.Training(net, examples(), network.Schedule(samples=64, batch=32)).run()
    changed = {name for name, x in net.state_dict().items() if not torch.equal(x, before[name])}
    assert changed == {name for name in before if name.endswith((".down", ".up"))}


def test_errors_are_means_over_their_neurons(monkeypatch, net):
    seen = examples(8)
    off = torch.tensor([[1.0, -2.0]]) * torch.arange(8)[:, None]
    dics, kind = seen.targets.dics + off, seen.targets.spiking_or_bursting.clone()
    kind[3] = 1 - kind[3]
    values = seen.targets.metrics.expm1() + 0.5
    said = neurons.network.Prediction(
        dics[:, 0], dics[:, 1], torch.full((8, 2), 2.0), kind + 1, values
    )
    monkeypatch.setattr(net, "predict", lambda spikes: said)
    found = network.evaluate(net, seen)
    assert found["g_s"] == pytest.approx(3.5)
    assert found["g_u of bursting"] == pytest.approx(8.0)  # 1, 3, 5, 7
    assert found["g_s of spiking"] == pytest.approx(3.0)  # 0, 2, 4, 6
    assert found["class accuracy"] == 7 / 8
    assert all(found[name] == pytest.approx(0.5, rel=1e-3) for name in network.METRICS)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_file_gives_the_same_network(tmp_path, net, rank):
    if rank:
        net.lora(rank)
    net.provenance = {"neurons": 3, "known": {"spiking": {"g_s": [-1.0, 2.0]}}}
    net.save(tmp_path / "net.safetensors")
    again = neurons.DICsNet.load(tmp_path / "net.safetensors")
    assert again.provenance == net.provenance
    spikes = trains(30, 80)
    for a, b in zip(again.predict(spikes), net.predict(spikes), strict=True):
        assert torch.equal(a, b)


def test_other_files_are_refused(tmp_path, monkeypatch):
    import safetensors.torch

    path = tmp_path / "other.safetensors"
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(ValueError, match=r"path must be a safetensors file, got .*other"):
        neurons.DICsNet.load(path)
    safetensors.torch.save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ValueError, match=r"path must be a file that DICsNet.save wrote"):
        neurons.DICsNet.load(path)
    with pytest.raises(FileNotFoundError):
        neurons.DICsNet.load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="model must be one of stg, got 'hh'"):
        neurons.DICsNet.pretrained("hh")


def test_the_weights_that_come_with_the_package_say_what_they_are():
    net = neurons.DICsNet.pretrained("stg")
    path = network.files.WEIGHTS / "stg.safetensors"
    assert path.stat().st_size < 1_000_000
    assert net.provenance["neurons"] >= 100_000
    assert net.provenance["test"]["g_s of bursting"] <= 1.2
    assert net.provenance["test"]["g_u of bursting"] <= 1.5
    assert net.provenance["test"]["class accuracy"] >= 0.99
    assert 0.62 < net.provenance["test"]["within one deviation"] < 0.75
    base = neurons.spiking_population("stg", 40, seed=5).g
    for g_s, g_u, off in ((-10.0, 8.0, 1.5), (6.0, 5.0, 6.0)):
        g = neurons.neuromodulate("stg", base, g_s=g_s, g_u=g_u).g
        spikes = neurons.simulate("stg", g, 3000, discard=1000).spikes
        found = net.predict(spikes)
        assert (found.g_s - g_s).abs().mean() < off
        assert (found.g_u - g_u).abs().mean() < 3
        right = found.firing_class == neurons.firing_class(spikes)
        assert right.double().mean() > 0.95


def test_a_deviation_is_that_of_the_errors_whose_loss_is_sigma():
    """Of normal errors: drawn, and at both ends, where the loss is a square and a size."""
    errors = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_sigma = torch.tensor([[-2.0, -0.5], [0.0, 0.7], [1.5, 2.0]])
    s = uncertainty.deviation(log_sigma)
    assert s.dtype == log_sigma.dtype
    for each, of in zip(s.flatten().double(), log_sigma.flatten().double(), strict=True):
        huber = F.huber_loss(each * errors, torch.zeros_like(errors))
        torch.testing.assert_close(huber, torch.exp(2 * of), rtol=0.02, atol=0)
    ends = torch.tensor([-5.0, 2.0], dtype=torch.float64)
    low, high = uncertainty.deviation(ends).tolist()
    assert low == pytest.approx(math.sqrt(2) * math.exp(-5), rel=1e-6)
    assert high == pytest.approx((math.exp(4) + 0.5) * math.sqrt(math.pi / 2), rel=1e-3)
    grid = torch.linspace(-5, 2, 200, dtype=torch.float64)
    again = uncertainty.log_sigma(uncertainty.deviation(grid))
    torch.testing.assert_close(again, grid, rtol=0, atol=1e-9)
    beyond = uncertainty.deviation(torch.tensor([-9.0, 9.0], dtype=torch.float64)).tolist()
    assert beyond == [low, high]
