"""What takes long and shows a claim: that networks of these cells learn, and what they remember.
``python -m benchmarks.claims CLAIM``."""

from . import (
    consecutive,
    copy_first_input,
    copy_first_symbol,
    dicsnet,
    digits,
    drqn,
    fpga,
    idempotent,
    long_range,
    multistability,
    ncae,
    neuron_rates,
    neuron_solvers,
    neuron_times,
    neurons,
    neurons_beside,
    nmd,
    noise,
    ppo,
    sizes,
    t_maze,
    two_units,
    warm_up,
    warmed,
)
from .claim import Claim

#: By the name of their command.
CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        t_maze.SHOWN_CUE,
        t_maze.TWO_FLASHES,
        ppo.SHOWN_CUE,
        ppo.TWO_FLASHES,
        consecutive.CLAIM,
        two_units.CLAIM,
        copy_first_symbol.CONVERGENCE,
        copy_first_symbol.RETENTION,
        noise.CLAIM,
        copy_first_input.CLAIM,
        warm_up.CLAIM,
        warmed.COPY,
        warmed.DENOISING,
        multistability.CLAIM,
        digits.CLAIM,
        sizes.CLAIM,
        long_range.PATHFINDER,
        long_range.PIXELS,
        long_range.LISTOPS,
        drqn.CLAIM,
        idempotent.CLAIM,
        ncae.WAVES,
        ncae.PENDULUMS,
        neurons.CLAIM,
        neuron_solvers.CLAIM,
        dicsnet.CLAIM,
        dicsnet.SIZES,
        neuron_rates.CLAIM,
        neurons_beside.CLAIM,
        neuron_times.CLAIM,
        fpga.CLAIM,
        nmd.CLAIM,
    )
}
