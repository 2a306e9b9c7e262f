"""``DICsNet``: dynamic input conductances from spike times.

net = neurons.DICsNet.pretrained("stg")
net.predict(spikes)                              # g_s, g_u, uncertainty, firing class, metrics

examples = network.Examples.load(folder, "train")                 # of neurons.datasets.make
network.Training(net, examples, network.Schedule(samples=10**6), path="run.pt").run()
network.evaluate(net, network.Examples.load(folder, "test"))      # mean absolute errors
"""

from .dicsnet import METRICS, DICsNet, Outputs, Prediction
from .evaluation import evaluate
from .examples import Examples
from .features import Features
from .known import outside, ranges
from .losses import Losses, Targets, training_loss
from .training import Schedule, Training

__all__ = [
    "METRICS",
    "DICsNet",
    "Examples",
    "Features",
    "Losses",
    "Outputs",
    "Prediction",
    "Schedule",
    "Targets",
    "Training",
    "evaluate",
    "outside",
    "ranges",
    "training_loss",
]
