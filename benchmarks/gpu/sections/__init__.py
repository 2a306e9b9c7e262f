"""The parts of the proof, the most valuable first.

A weight is the seconds that a part should not exceed on a machine with 16 cores and one Hopper GPU,
in all that it may do; where the sum is more than there is, each has its share of it, and of what
those before it left. None has been measured on one: how each was estimated stands beside it.
"""

from __future__ import annotations

from ..proof import Section

SECTIONS = (
    # Nothing, where it is prepared. Else nvcc takes 280 s of one core for sm_90, 32 files of 25 s
    # at most: on 16 cores about 45 s. Without it Triton proves what it can.
    Section("library", 60, 0, 400, without={"LRNN_CUDA": "0"}),
    # Nothing, or about as much of g++.
    Section("processor", 40, 0, 400),
    # The CUDA context, and three copies: seconds; the import of torch before it, up to 15 s where
    # the disk has to read all of it.
    Section("machine", 15, 0, 120, needed=True),
    # 340 calls of each backend, 14 s of one core for their references; 470 Triton kernels of 0.3
    # to 3 s each, 400 s of one core, shared by as many processes as there are cores; neurons: 50 s.
    # Twice that, since nothing is worth more.
    Section("values", 120, 10, 120, together=12),
    # Triton's kernels of what is timed, as many together: 140 of the operators, 12 of neurons,
    # which take 5 to 10 s each.
    Section("compile", 30, 10, 120, together=12),
    # 12 operators, 4 shapes, 2 types, one unit each: inputs, 6 graphs, 7 rounds of 2 ms for each of
    # them: 0.5 s; the peers' torch.compile, 20 s.
    Section("speed", 70, 10, 90),
    # 6 kernels with matrices by 7 shapes at 0.6 s; 2 layers beside cuDNN's by 3 shapes at 1 s.
    Section("matrix", 35, 8, 60),
    # 3 models, 2 types, 2 backends, 2 sizes, 1.3 s each.
    Section("rates", 30, 8, 60),
    # A dozen of captures, each of a few launches.
    Section("graphs", 8, 3, 60),
    # Up to 40 GiB that are filled, read and written a few times: 2 s each.
    Section("long", 20, 5, 60),
    # Python and torch start several times as slowly under the tool, a context too: 30 s; then 50 ms
    # a call. One process for each engine.
    Section("sanitizer", 75, 30, 240, together=6),
    # 12 operators by 6 lengths, both backends beside each other, 0.4 s each.
    Section("lengths", 35, 10, 60),
    # The plan's bytes in flight, 12 units of 0.5 s; of Triton's table the tiles that lie nearest,
    # of one operator of a family: 60 kernels, of which a second each is compilation.
    Section("tuning", 40, 15, 240),
)
