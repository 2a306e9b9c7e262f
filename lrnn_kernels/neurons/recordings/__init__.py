"""Spike times of recorded units, from files.

recorded = recordings.read("cells.csv", unit="ms")      # or .npz, .nwb, what neo reads
print(*recorded.report.lines(), sep="\\n")               # what was found, changed, dropped and kept
recorded.spikes, recorded.names                         # Spikes of B units in ms; their names

The unit of time is stated, by the file or by who reads it, and never guessed; docs/recordings.md
says where, and shows every layout. What cannot be read for certain is a ``RecordingError`` of one
sentence. NWB takes ``pip install "lrnn-kernels[nwb]"``, other formats of electrophysiology
``"lrnn-kernels[neo]"``; pickles are refused, because to read one is to run it.
"""

from .errors import RecordingError
from .neo_files import from_neo
from .reading import of, read, read_bytes
from .recorded import Recorded
from .report import Report, UnitReport

__all__ = [
    "Recorded",
    "RecordingError",
    "Report",
    "UnitReport",
    "from_neo",
    "of",
    "read",
    "read_bytes",
]
