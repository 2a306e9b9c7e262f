"""Whatever a file holds, it is read whole or refused in one line."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrnn_kernels.neurons import recordings

from .recorded import npz

A = np.array([1.0, 2.0, 3.0])


def reads_or_refuses(data: bytes, name: str) -> None:
    try:
        recorded = recordings.read_bytes(data, name, unit="ms")
    except recordings.RecordingError as error:
        recorded, said = None, str(error)
    if recorded is None:
        assert said.isprintable()
        assert len(said) < 1000
        return
    spikes = recorded.spikes
    assert spikes.times.isfinite().all()
    assert all(times == sorted(set(times)) for times in spikes.to_lists())
    assert len(recorded.names) == len(set(recorded.names)) == len(spikes)
    assert all(line.isprintable() for line in recorded.report.lines())


SAMPLES = [
    ("a.csv", b"1,2,3\n4.5,6e1,NaN,,\n"),
    ("a.csv", b"unit,time\nb,1\na,2.5\nb,3\nb,4\n"),
    ("a.csv", b'id,spiking_times\n7,"[1.2, 3.4, 5]"\n"9",[1 2 3]\n'),
    ("a.npz", npz(a=A, b=np.arange(4))),
    ("a.npz", npz(times=A, offsets=[0, 3])),
    ("a.npz", npz(times=A, units=["a", "b", "a"])),
]


@given(data=st.binary(max_size=200), ending=st.sampled_from(["a.csv", "a.npz"]))
@settings(max_examples=300)
def test_random_bytes(data, ending):
    reads_or_refuses(data, ending)


@given(data=st.text('0123456789.,-+eE"[]\n\r\t ;naNif\ufeff_\u0663', max_size=60))
@example("unit,time\n" + "[" * 50)
@example('spiking_times\n"' + '"' * 101)
@settings(max_examples=500)
def test_random_text(data):
    for header in ("", "unit,time\n", "spiking_times\n", "name,spiking_times,x\n"):
        reads_or_refuses((header + data).encode(), "a.csv")


@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4
    ),
)
@settings(max_examples=600)
def test_mutated_files(sample, edits):
    name, data = sample
    for place, removed, put in edits:
        at = int(place * len(data))
        data = data[:at] + put + data[at + removed :]
    reads_or_refuses(data, name)
