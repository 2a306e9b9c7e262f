"""The claims: their runs, shortened to a few steps, are shown; the cheapest are shown to hold."""

from dataclasses import replace

import pytest
import torch

from benchmarks.claims import (
    CLAIMS,
    adapted,
    consecutive,
    copy_first_symbol,
    demo,
    dicsnet,
    drqn,
    horizons,
    moving_models,
    ncae,
    networks,
    neuron_rates,
    neuron_solvers,
    neuron_times,
    neurons,
    neurons_beside,
    nmd,
    noise,
    progress,
    runs,
    shown,
    t_maze,
    warm_up,
)
from benchmarks.claims.training import Recipe, Training
from lrnn_kernels.neurons import simulate
from lrnn_kernels.tasks import adaptation
from tests import ROOT

RESULTS = ROOT / "benchmarks/results/claims"
SHORT = {
    "steps": 25,
    "warm_up": 3,
    "held": 200,
    "epochs": 1,
    "drawn": 40,
    "tested": 20,
    "episodes": 40,
    "iterations": 3,
    "samples": 300,
    "ms": 20.0,
    "pairs": 2,
    "digits": 1,
    "columns": 1,
}

every_claim = pytest.mark.parametrize("name", CLAIMS)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As a claim's processes have, and with tests at short lengths."""
    monkeypatch.setattr(copy_first_symbol, "LENGTHS", (200, 300, 10_000, 100_000))
    monkeypatch.setattr(copy_first_symbol, "_TEST", 2)
    monkeypatch.setattr(noise, "STEPS", 10_000)
    monkeypatch.setattr(consecutive, "BEFORE", (5,))
    monkeypatch.setattr(horizons, "MAX_STEPS", 2000)
    monkeypatch.setattr(warm_up, "HELD", (200, 300, 400))
    monkeypatch.setattr(neurons, "JUDGED", 8)
    monkeypatch.setattr(dicsnet, "PER_PAIR", 1)
    monkeypatch.setattr(dicsnet, "TESTED", 60)
    monkeypatch.setattr(dicsnet, "VALIDATED", 20)
    monkeypatch.setattr(dicsnet, "RANGED", 60)
    monkeypatch.setattr(dicsnet, "TWINNED", 2)
    monkeypatch.setattr(dicsnet, "TIMED", 10)
    monkeypatch.setattr(neuron_solvers, "T", 500.0)
    monkeypatch.setattr(neuron_solvers, "DISCARD", 100.0)
    monkeypatch.setattr(neuron_solvers, "TOLERANCE", 1e-4)
    monkeypatch.setattr(neuron_rates, "RATED_MS", 20.0)
    monkeypatch.setattr(neuron_times, "THREADED_MS", 20.0)
    monkeypatch.setattr(neuron_times, "SPINS", 2)
    for module in (neuron_rates, neuron_times, neurons_beside):
        monkeypatch.setattr(module, "ROUNDS", 2)
    for module in (neuron_rates, neurons_beside):
        monkeypatch.setattr(module, "LEAST", 0.0)
    for benchmark, (*sizes, _) in nmd.BENCHMARKS.items():
        monkeypatch.setitem(nmd.BENCHMARKS, benchmark, (*sizes, (4, 10)))
    monkeypatch.setattr(adapted, "WATCHED", 20)
    peers_of_a_short_run(monkeypatch)
    for name, value in neurons_beside.ONE_THREAD.items():
        monkeypatch.setenv(name, value)  # and what it was, afterwards
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def peers_of_a_short_run(monkeypatch) -> None:
    """Golden runs of 200 ms in place of 6 s: spikes of the scheme that is closest to them all."""
    g, T = torch.from_numpy(neurons_beside.GOLDEN), 200.0
    run = simulate("stg", g, T, dtype=torch.float64, scheme="exponential_euler")
    golden = tuple(run.spikes.counts.tolist())
    assert min(golden) > 1
    monkeypatch.setattr(neurons_beside, "PERIOD", (T, 0.0))
    peers = {name: replace(peer, golden=golden) for name, peer in neurons_beside.PEERS.items()}
    monkeypatch.setattr(neurons_beside, "PEERS", peers)


def found_by(name: str, tmp_path, *, quick: bool = True, seeds: int = 1) -> list[dict]:
    """What a few steps of a claim's runs find: with all settings, or the quick ones."""
    claim = CLAIMS[name]
    found = []
    for setting in claim.settings(quick):
        short = {**setting, **{key: x for key, x in SHORT.items() if key in setting}}
        for seed in range(seeds):
            one = claim.run(short, seed, state := tmp_path / "state.pt")
            state.unlink(missing_ok=True)  # as after a run that is done
            found.append({**setting, "seed": seed, **one, "cpu_seconds": 1.25})
    return found


@every_claim
def test_a_claim_shows_what_it_found(name, tmp_path):
    claim = CLAIMS[name]
    found = found_by(name, tmp_path)
    rows = claim.table(found)
    assert rows
    assert all(len(row) == len(claim.header) for row in rows)
    assert all(isinstance(cell, str) for row in rows for cell in row)
    assert "One seed." in " ".join(shown.table(claim, found).split())
    json, plot = shown.save(claim, found, tmp_path, quick=True)
    assert (json.name, plot.name) == (f"{name}-quick.json", f"{name}-quick.png")
    assert plot.stat().st_size > 5000
    assert shown.markdown(claim, shown.load(json)[0]).count("\n") == len(rows) + 1


@every_claim
def test_settings_tell_runs_apart(name):
    claim = CLAIMS[name]
    for quick in (False, True):
        settings = claim.settings(quick)
        assert len({str(sorted(setting.items())) for setting in settings}) == len(settings)
        kept = runs.Kept(RESULTS / "none.jsonl")
        assert len({kept.state(setting, 0) for setting in settings}) == len(settings)


@every_claim
def test_results_are_complete(name):
    """What is checked in is every setting, with as many seeds as the claim asks for at least."""
    claim = CLAIMS[name]
    found, machine = shown.load(RESULTS / f"{name}.json")
    assert machine["cpu"]
    seeds = {run["seed"] for run in found}
    assert seeds >= set(range(claim.seeds))
    settings = claim.settings(False)
    assert len(found) == len(settings) * len(seeds)
    for setting in settings:
        same = [run for run in found if all(run[key] == x for key, x in setting.items())]
        assert {run["seed"] for run in same} == seeds
    assert (RESULTS / f"{name}.png").stat().st_size > 5000


def test_the_main_job_shows_all_of_it(tmp_path):
    found = {name: found_by(name, tmp_path) for name in demo.NAMES}
    lines = demo.table(found).splitlines()
    assert len([line for line in lines if line.endswith("1.2")]) == sum(map(len, found.values()))
    assert demo.plot(found, tmp_path, "learning").stat().st_size > 20_000
    found.pop("digits")
    assert demo.plot(found, tmp_path, "quick").exists()


def test_a_bmru_is_optimal_at_every_horizon_and_an_lru_is_not(tmp_path):
    """The quick runs of the T-maze, of two of its networks."""
    by_network = {s["network"]: s for s in t_maze.SHOWN_CUE.settings(True)}
    for network, never in (("BMRU", True), ("LRU", False)):
        run = t_maze.run(by_network[network], 0, tmp_path / "state.pt")
        assert run["accuracy"] == 1.0
        assert (run["verdict"] == "proved") is never
        assert never or run["breaks_at"] > 20


def test_below_its_bound_noise_leaves_every_bit_of_a_bmru(tmp_path):
    setting = {"cue": "shown", "network": "BMRU", "steps": 60}
    run = noise.run(setting, 0, tmp_path / "state.pt")
    assert 0 < run["bound"] < 1
    assert run["below"]["exact"]
    assert run["below"]["moved"] == 0
    assert not run["noise"][-1]["exact"]  # or the bound would say nothing


def test_a_warm_up_takes_a_gru_from_one_attractor_to_many(tmp_path):
    """And says of an LRU that it is monostable, and leaves it as it is."""
    by_network = {s["network"]: s for s in warm_up.settings(True) if s["form"] == "warmed"}
    run = warm_up.run(by_network["GRU"], 0, tmp_path / "state.pt")
    assert set(run["before"].values()) == {1 / warm_up.SEQUENCES}
    assert min(run["after"].values()) > 0.5
    assert run["changed"]
    assert not run["warned"]
    run = warm_up.run({**by_network["LRU"], "warm_up": 3}, 0, tmp_path / "state.pt")
    assert run["monostable"]
    assert not run["changed"]
    assert "LRU (monostable by construction)" in run["warned"][0]


def test_training_stops_where_it_has_learned():
    network = torch.nn.Linear(1, 1)
    training = Training(network, Recipe(steps=100, lr=0.0))
    scores = iter(range(100))

    def attempt():
        return network(torch.ones(1, 1)).sum(), next(scores)

    done = training.train(attempt, until=lambda score: score > 30)
    assert done["steps"] == 41  # the mean of 21 ... 40 is the first above 30
    assert training.first(lambda score: score > 20) == 31
    assert training.curve(4) == [(10, 4.5), (20, 9.5), (31, 20.5), (41, 30.5)]
    with pytest.raises(ValueError, match="schedule must be 'cosine' or 'flat', got 'step'"):
        Training(network, Recipe(steps=3, schedule="step"))


#: What a run counts, and how often it is done at the end.
COUNTED = ("episode", "iteration")
AGENTS = {
    drqn: {"network": "BRC", "warmed": True, "shortest": 2, "longest": 4, "episodes": 50},
    nmd: {"network": "NMD", "discount": 0.98, "benchmark": 3, "iterations": 6, "steps": 30},
}


@pytest.mark.parametrize("claim", AGENTS, ids=lambda claim: claim.CLAIM.name)
def test_a_run_of_an_agent_goes_on_where_it_was(claim, tmp_path, monkeypatch):
    """From the state in its file, to the same end."""
    monkeypatch.setattr(claim, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr(drqn, "COLLECTED", 8)
    setting = {**AGENTS[claim], "tested": 10}
    whole = claim.run(setting, 0, tmp_path / "whole.pt")
    told = []
    progress.to(told.append, lambda: len(told) > 3)
    with pytest.raises(progress.Stopped):
        claim.run(setting, 0, tmp_path / "state.pt")
    progress.to(None)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    assert any(0 < kept["agent"].get(name, 0) < setting.get(f"{name}s", 0) for name in COUNTED)
    again = claim.run(setting, 0, tmp_path / "state.pt")
    for found in (whole, again):
        found.pop("cpu_seconds")
    assert again == whole


def test_a_fit_of_an_autoencoder_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(ncae, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    setting = {"model": "conditional AE", "epochs": 6}
    whole = ncae.WAVES.run(setting, 0, tmp_path / "whole.pt")
    told = []
    progress.to(told.append, lambda: len(told) > 2)
    with pytest.raises(progress.Stopped):
        ncae.WAVES.run(setting, 0, tmp_path / "state.pt")
    progress.to(None)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 0 < len(kept["history"]["train"]) < 6
    again = ncae.WAVES.run(setting, 0, tmp_path / "state.pt")
    for found in (whole, again):
        found.pop("train_seconds")
    assert again == whole


@pytest.mark.parametrize("system", [ncae.LORENZ, ncae.CHAIN], ids=["waves", "pendulums"])
def test_autoencoders_are_compared_at_one_size(system):
    context = system.data(0).c.shape[1]
    models = {name: moving_models.make(name, system.dims, context) for name in moving_models.MODELS}
    sizes = {name: networks.parameters(model) for name, model in models.items()}
    assert all(abs(size - sizes["NcAE"]) <= 0.02 * sizes["NcAE"] for size in sizes.values()), sizes
    x, c = torch.randn(7, system.dims[0]), torch.randn(7, context)
    for model in models.values():
        assert model.encode(x, c).shape == (7, system.dims[-1])
        torch.testing.assert_close(model.project(x, c), model.decode(model.encode(x, c), c))


def test_the_best_of_a_moving_target_is_known():
    """Of who is told what is hidden, and of who is not: the paper's 4679, discounted."""
    told, played = (
        adapted.discounted(play(adaptation.MovingTarget(1000, seed=3)))
        for play in (adapted.informed, adapted.bayes)
    )
    assert told == pytest.approx(10 * (1 - 0.998**1400) / 0.002, abs=0.1)
    assert played.mean().item() == pytest.approx(nmd.BAYES, abs=1.0)


def test_a_read_out_is_of_other_episodes():
    z, about = torch.randn(400, 5), torch.randn(400, 2)
    assert adapted.read(z, about)[0] < 0.05
    r2, told = adapted.read(torch.cat([z, about @ torch.randn(2, 2)], 1), about)
    assert r2 > 0.99
    assert len(told) == 200
    assert adapted.unit(torch.cat([z, -3 * about[:, 1:]], 1), about) == pytest.approx(1.0)
