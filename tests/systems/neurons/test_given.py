"""What users have at hand: models by name, conductances as arrays and lists, spikes within what
was read or simulated."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import arguments, datasets
from tests.systems.neurons.cases import CONDUCTANCES, HH, STG

#: Every public function that takes conductances, called with some of the STG neuron.
TAKE_G = {
    "simulate": lambda g: neurons.simulate("stg", g, 30.0, current=5.0).spikes.times,
    "explain": lambda g: neurons.explain("stg", g),
    "dic": lambda g: neurons.dic("stg", g, -51.0),
    "dic_curves": lambda g: neurons.dic_curves("stg", g, torch.tensor([-60.0, -51.0])),
    "sensitivities": lambda g: neurons.sensitivities("stg", g, -51.0),
    "threshold_voltage": lambda g: neurons.threshold_voltage("stg", g),
    "compensate": lambda g: neurons.compensate("stg", g, solve=["A"], g_s=3.0),
    "neuromodulate": lambda g: neurons.neuromodulate("stg", g, g_s=3.0, g_u=5.0).g,
    "plot_dics": lambda g: neurons.plot_dics(plt.figure().subplots(), "stg", g[0]),
    "plot_population": lambda g: neurons.plot_population(plt.figure().subplots(), "stg", g),
    "to_siemens": neurons.to_siemens,
}


@pytest.mark.parametrize("name", TAKE_G)
def test_conductances_are_taken_as_arrays_and_lists(name):
    """As the tensor of the array's dtype, or of torch's default one."""
    call = TAKE_G[name]
    array = STG.numpy()
    for given, dtype in (
        (array, torch.float64),
        (array.astype("f4"), torch.float32),
        (np.flip(array[::-1], 0).astype(">f8"), torch.float64),
        (array.tolist(), torch.float32),
        (tuple(map(tuple, array.tolist())), torch.float32),
    ):
        found, expected = call(given), call(STG.to(dtype))
        if isinstance(expected, torch.Tensor):
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        else:
            assert found == expected
    plt.close("all")


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_whole_numbers_are_conductances_too(kind):
    g = arguments.conductances(kind([[120, 36, 1]]), neurons.HH, batched=True)
    assert torch.equal(g, torch.tensor([[120.0, 36.0, 1.0]]))


def _simulated(**options):
    """The state after it, as the kept V says little."""
    found = neurons.simulate("stg", STG, 3.0, dtype=torch.float64, **options)
    return found.state.values[:, :13]


#: Every argument but g that is a number or one for each neuron or voltage, called with it.
TAKE_X = {
    "current": lambda x: _simulated(current=x),
    "waveform": lambda x: _simulated(current=x, current_dt=2.5),
    "noise": lambda x: _simulated(noise=x, seed=1),
    "sigma": lambda x: _simulated(noise=neurons.Noise(x), seed=1),
    "dic": lambda x: neurons.dic("stg", STG, x),
    "dic_curves": lambda x: neurons.dic_curves("stg", STG, x),
    "sensitivities": lambda x: neurons.sensitivities("stg", STG, x),
    "compensate": lambda x: neurons.compensate("stg", STG, solve=["A", "H"], g_s=x, g_u=x),
    "guess": lambda x: neurons.compensate("stg", STG, solve=["CaS"], g_s=-3.0, guess={"CaS": x}),
    "neuromodulate": lambda x: neurons.neuromodulate("stg", STG, g_s=x, g_u=x).g,
    "plot_dics": lambda x: neurons.plot_dics(plt.figure().subplots(), "stg", STG[0], x),
}


@pytest.mark.parametrize("name", TAKE_X)
def test_numbers_of_neurons_are_taken_as_arrays_and_lists(name):
    """To the precision of the call: lists are not rounded to float32."""
    call = TAKE_X[name]
    array = np.array([0.1, 2.7, 3.0])
    expected = call(torch.from_numpy(array))
    for given in (array, np.flip(array[::-1], 0).astype(">f8"), array.tolist(), (*array,)):
        torch.testing.assert_close(call(given), expected, rtol=0, atol=0, equal_nan=True)
    whole = [1, 2, 3]
    expected = call(torch.tensor(whole, dtype=torch.float64))
    for kind in (list, tuple, np.array, torch.tensor):
        torch.testing.assert_close(call(kind(whole)), expected, rtol=0, atol=0, equal_nan=True)
    plt.close("all")


def test_a_start_is_taken_as_arrays_and_lists():
    start = neurons.STG.start(3)
    expected = _simulated(state=start)
    for given in (start.numpy(), start.tolist()):
        assert torch.equal(_simulated(state=given), expected)


def test_one_row_of_conductances_is_one_neuron():
    """Whatever there are several of, the error says how to have a row for each."""
    row = STG[:1]
    for call in (
        lambda x: neurons.simulate("stg", row, 1.0, current=x),
        lambda x: neurons.simulate("stg", row, 1.0, noise=x),
        lambda x: neurons.compensate("stg", row, solve=["A"], g_s=x),
        lambda x: neurons.neuromodulate("stg", row, g_s=x, g_u=1.0),
    ):
        with pytest.raises(ValueError, match=r"got \(5,\): g has one row, .*\.repeat\(5, 1\)$"):
            call(np.linspace(0, 20, 5))
    many = torch.as_tensor(row.tolist()).repeat(5, 1)  # as it says
    assert len(neurons.simulate("stg", many, 1.0, current=np.linspace(0, 20, 5)).spikes) == 5


def test_an_array_is_copied():
    array = HH.numpy().copy()
    g = arguments.conductances(array, neurons.HH)
    array[:] = 0
    assert torch.equal(g, HH)


@pytest.mark.parametrize("name", neurons.MODELS)
def test_a_model_is_named_in_any_case(name):
    """And is itself, wherever one is named."""
    model, g = neurons.MODELS[name], CONDUCTANCES[name]
    for given in (name, name.upper(), name.title(), model):
        assert arguments.model(given) is model
        assert torch.equal(neurons.dic(given, g, -51.0), neurons.dic(model, g, -51.0))
        if model.recipe is not None:
            assert datasets.Settings(given, pairs=1).model == name
    for given in ("STG", neurons.STG):
        assert neurons.DICsNet.pretrained(given).provenance["model"] == "stg"


def test_spikes_are_taken_from_what_has_them():
    times = [[1.0, 2.0, 4.0, 5.0, 9.0], [3.0, 6.0, 9.0, 12.0]]
    spikes = neurons.Spikes.from_lists(times)
    recorded = neurons.recordings.of(times)
    simulation = neurons.Simulation(spikes, None, None)
    functions = (neurons.intervals, neurons.metrics, neurons.find_bursts, neurons.isi_cv)
    functions += (neurons.firing_class, neurons.mean_frequency)
    functions += (neurons.DICsNet.pretrained().predict,)
    for function in functions:
        expected = function(spikes)
        for given in (recorded, simulation):
            torch.testing.assert_close(function(given), expected, equal_nan=True)
        with pytest.raises(TypeError, match=r"spikes must be neurons.Spikes, .*, got list"):
            function(times)
    for given in (spikes, recorded, simulation):
        ax = plt.figure().subplots()
        neurons.plot_raster(ax, given)
        assert len(ax.lines[0].get_xdata()) == 9
    plt.close("all")
    with pytest.raises(TypeError, match=r"spikes must be neurons.Spikes, .*, got list"):
        neurons.plot_raster(None, times)


def test_what_is_returned_says_what_it_is():
    run = neurons.simulate("hh", HH, 5.0, record=0.5)
    assert repr(run.record) == "Recording(V of 1 neurons, 10 samples)"
    assert repr(run.state) == "State(1 neurons of hh, t = 5 ms)"
