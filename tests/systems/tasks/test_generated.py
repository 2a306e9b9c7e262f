"""What every generated task promises: the shapes it states, the same bits for the same seed, fresh
batches without end, a metric that a perfect answer passes and a guess meets at chance."""

import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from lrnn_kernels import tasks
from lrnn_kernels.tasks import draws
from tests import ROOT

from .registry import GENERATED, digest, seeded

#: Of the batches of the registry, seed 0. Another value is another task, for all who compare.
CHECKSUMS = {
    "copy_first_symbol": "fd21ca677726e6d7",
    "copy_first_symbol, symbols": "7c928eb131cf9085",
    "copy_first_input": "1de175a5c72edf86",
    "denoising": "b20ac7d84ba815df",
    "selective_copying": "b9c13fe341da4465",
    "associative_recall": "f609e9a89ba56288",
    "t_maze": "819c3e342171f127",
    "t_maze, flashes": "8aeb3a816e71811d",
    "listops": "440f096f70bef547",
    "pathfinder": "b57e0a0961585894",
}


@pytest.fixture(params=GENERATED)
def task(request):
    return request.param


def draw(task: str, seed: int = 0) -> tasks.Batch:
    module, sizes, *_ = GENERATED[task]
    return module.draw(**sizes, generator=seeded(seed))


def perfect(batch: tasks.Batch, classes: int | None) -> torch.Tensor:
    return F.one_hot(batch.targets, classes).float() if classes else batch.targets


def test_every_task_is_in_the_registry():
    names = [module.name for module in pkgutil.iter_modules(tasks.__path__)]
    modules = {name: getattr(tasks, name, None) for name in names}
    generated = {
        name
        for name, module in modules.items()
        if hasattr(module, "draw") and name not in ("images", "events")
    }
    assert generated == {module.__name__.split(".")[-1] for module, *_ in GENERATED.values()}
    for name in generated:
        assert name in tasks.__all__
        text = inspect.getdoc(modules[name].draw)
        assert all(f"\n{word} " in text for word in ("inputs", "targets", "metric", "source"))
        assert "chance" in text
        assert "hance" in inspect.getdoc(modules[name].metric)


def test_importing_the_tasks_loads_no_extra():
    code = (
        "import sys; from lrnn_kernels import tasks; from lrnn_kernels.tasks import draws; "
        "print({'h5py', 'sklearn'} & {*sys.modules}, draws._quantiles.cache_info().currsize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set() 0\n"


def test_shapes(task):
    _, _, (shape, dtype), classes = GENERATED[task]
    inputs, targets, mask = draw(task)
    assert (inputs.shape, inputs.dtype) == (shape, dtype)
    assert (mask.shape, mask.dtype) == (shape[:2], torch.bool)
    assert targets.shape == (shape[:2] if classes else (*shape[:2], 1))
    assert targets.dtype == (torch.int64 if classes else torch.float32)
    assert mask.any(1).all()
    if classes:
        assert targets.min() >= 0
        assert targets.max() < classes


def test_the_same_seed_is_the_same_bits(task):
    first, again, other = (draw(task, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.inputs, other.inputs)


def test_the_global_generator_is_left_alone(task):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draw(task)
    assert torch.equal(torch.get_rng_state(), before)


def test_checksums(task):
    assert digest(*draw(task)) == CHECKSUMS[task]


def test_the_stream_does_not_end(task):
    module, sizes, *_ = GENERATED[task]
    generator = seeded()
    first, second = (module.draw(**sizes, generator=generator) for _ in range(2))
    assert not torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.answers, second.answers)


def test_a_perfect_answer(task):
    module, *_, classes = GENERATED[task]
    batch = draw(task)
    found = module.metric(perfect(batch, classes), batch)
    assert found == (
        {"accuracy": 1.0, "chance": 1 / classes} if classes else {"mse": 0, "chance": 1}
    )
    assert found == module.metric(perfect(batch, classes)[batch.mask], batch)


def test_only_steps_of_the_mask_are_read(task):
    module, *_, classes = GENERATED[task]
    batch = draw(task)
    outputs = perfect(batch, classes).clone()
    outputs[~batch.mask] = float("nan")
    assert module.metric(outputs, batch) == module.metric(perfect(batch, classes), batch)


def test_a_guess_is_at_chance(task):
    """Within five standard errors of the mean; a constant 0 is a regression's guess."""
    module, *_, classes = GENERATED[task]
    batch = draw(task)
    outputs = torch.zeros(*batch.mask.shape, classes or 1)
    if classes:
        outputs = torch.randn(outputs.shape, generator=seeded(1))
    found = module.metric(outputs, batch)
    value = found["accuracy" if classes else "mse"]
    variance = (1 - 1 / classes) / classes if classes else 2
    assert value == pytest.approx(
        found["chance"], abs=5 * (variance / batch.mask.sum().item()) ** 0.5
    )


def test_the_loss_of_the_docstring(task):
    *_, classes = GENERATED[task]
    batch = draw(task)
    outputs = torch.zeros(*batch.mask.shape, classes or 1, requires_grad=True)
    loss = (F.cross_entropy if classes else F.mse_loss)(outputs[batch.mask], batch.answers)
    loss.backward()
    assert outputs.grad[batch.mask].any()
    assert not outputs.grad[~batch.mask].any()


#: (task, argument) of every size.
SIZES = [
    (task, name)
    for task, (module, *_) in GENERATED.items()
    for name, parameter in inspect.signature(module.draw).parameters.items()
    if parameter.annotation == "int"
]


@pytest.mark.parametrize(("sized", "name"), SIZES)
@pytest.mark.parametrize("value", [-3, 2.0, True, None, "4"])
def test_wrong_sizes_are_named(sized, name, value):
    module, sizes, *_ = GENERATED[sized]
    error = ValueError if value == -3 else TypeError
    got = value if value == -3 else type(value).__name__
    with pytest.raises(error, match=rf"^{name} must be .*, got {got}$"):
        module.draw(**(sizes | {name: value}), generator=seeded())


@pytest.mark.parametrize("generator", [None, 0, "cpu"])
def test_a_generator_is_needed(task, generator):
    module, sizes, *_ = GENERATED[task]
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator on the CPU, got"):
        module.draw(**sizes, generator=generator)


def test_wrong_outputs_are_named(task):
    module, *_, classes = GENERATED[task]
    batch = draw(task)
    count = int(batch.mask.sum())
    for shape in ((3, 2), (*batch.mask.shape[::-1], 2), (count,), (count + 1, 2)):
        with pytest.raises(ValueError, match=r"outputs must have shape .* got \("):
            module.metric(torch.zeros(shape), batch)
    with pytest.raises(TypeError, match="outputs must be a tensor, got list"):
        module.metric([1], batch)
    with pytest.raises(ValueError, match="must ask for an answer"):
        module.metric(perfect(batch, classes), batch._replace(mask=batch.mask & False))
    wrong = perfect(batch, classes)
    wrong = wrong[..., :-1] if classes else wrong.expand(-1, -1, 2)
    with pytest.raises(ValueError, match="outputs must have"):
        module.metric(wrong, batch)


def test_nan_is_a_wrong_answer():
    batch = draw("selective_copying")
    nan = torch.full((*batch.mask.shape, 7), float("nan"))
    assert tasks.selective_copying.metric(nan, batch)["accuracy"] == 0


def test_batches_move():
    batch = draw("denoising").to("meta", non_blocking=True)
    assert isinstance(batch, tasks.Batch)
    assert all(x.device.type == "meta" for x in batch)


def test_normal_draws():
    """The table is exact: no entry lies so near a rounding boundary that another machine's
    logarithm could move it; moments and distribution are those that draws.py states."""
    points = draws._quantiles()[0].double()
    exact = torch.special.ndtri(
        torch.arange(draws.INTERVALS + 1, dtype=torch.float64) / draws.INTERVALS
    ).clamp(-draws.LARGEST, draws.LARGEST)
    scaled = exact * 2**20
    assert (scaled - scaled.floor() - 0.5).abs().min() > 1e-6
    a, b = points[:-1], points[1:]
    assert ((a**2 + a * b + b**2) / 3).mean().item() == pytest.approx(1, abs=3e-6)
    fourth = (a**4 + a**3 * b + a**2 * b**2 + a * b**3 + b**4) / 5
    assert fourth.mean().item() == pytest.approx(3, abs=2e-6)
    assert torch.equal(points, -points.flip(0))
    x = draws.normal((400_000,), seeded()).double().sort().values
    uniform = torch.special.ndtr(x)
    assert (
        uniform - torch.linspace(0, 1, len(x))
    ).abs().max() < 0.0025  # Kolmogorov, 1.6 / sqrt(n)
    assert x.abs().max() <= draws.LARGEST


def test_distinct_draws():
    found = draws.distinct(7, 5, 2000, seeded())
    assert all(len(set(row)) == 5 for row in found.tolist())
    counts = torch.bincount(found[:, 0], minlength=7)
    assert (counts - 2000 / 7).abs().max() < 5 * (2000 / 7) ** 0.5
