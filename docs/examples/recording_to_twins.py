"""From a recording's spike times to model neurons that fire alike.

    pip install "lrnn-kernels[neurons]"
    python docs/examples/recording_to_twins.py

A CSV of spike times, a unit a line, is read and checked; a network says which dynamic input
conductances (DICs) such a neuron has, and populations with these are found and simulated.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from lrnn_kernels import neurons
from lrnn_kernels.neurons import recordings


def example(path: Path) -> None:
    """A recording to try: two model neurons, one of which bursts."""
    base = neurons.spiking_population("stg", 2, seed=3).g
    bursting = neurons.neuromodulate("stg", base, g_s=-8.0, g_u=6.0).g
    bursting[1] = base[1]
    spikes = neurons.simulate("stg", bursting, 6000, discard=3000).spikes
    with path.open("w") as file:
        csv.writer(file).writerows([round(float(t), 3) for t in times] for times in spikes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recording", nargs="?", type=Path, help="a CSV of times in ms")
    parser.add_argument("--twins", type=int, default=16, help="of each unit")
    args = parser.parse_args()
    path = args.recording
    if path is None:
        path = Path("recording.csv")
        example(path)
    recorded = recordings.read(path, unit="ms")
    print(*recorded.report.lines(), sep="\n")
    found = neurons.twins(recorded.spikes, n=args.twins)
    for name, g_s, g_u, match in zip(
        recorded.names, found.prediction.g_s, found.prediction.g_u, found.matches, strict=True
    ):
        print(
            f"unit {name}: {match.firing_class.name}, g_s {g_s:.1f}, g_u {g_u:.1f} mS/cm^2; "
            f"{match.same_class} of {args.twins} twins fire in the same way, "
            f"{match.twin_rate:.1f} Hz beside {match.rate:.1f}"
        )


if __name__ == "__main__":
    main()
