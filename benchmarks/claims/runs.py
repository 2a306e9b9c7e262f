"""Runs the trainings of a claim, several processes at a time, and loses none that is done."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import torch

from ..measure import machine
from . import progress
from .claim import Claim, Plain


def run(
    claims: list[Claim],
    folder: Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    processes: int | None = None,
    label: str | None = None,
) -> dict[str, list[Plain]]:
    """What every setting and seed found, by the name of the claim: the setting, "seed", what its
    run returns, "cpu_seconds" (of this process, where the run does not say better: one that goes on
    from its state has taken more).

    Each is written to a file in ``folder`` as soon as it is done; a run that was interrupted goes
    on from there, and the file is removed once all are done. Processes (as many as there are cores
    by default, one where a claim is of time) have one thread each: operations this small gain
    little from a second, and seeds are independent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (claim, setting, seed)
        for claim in claims
        for seed in range(seeds or (1 if quick else claim.seeds))
        for setting in claim.settings(quick)
    ]
    ending = "-quick.jsonl" if quick else ".jsonl"
    kept = {claim.name: Kept(folder / f"{claim.name}{ending}") for claim in claims}
    left = [task for task in tasks if kept[task[0].name].get(*task[1:]) is None]
    if done := len(tasks) - len(left):
        print(
            f"{done} of {len(tasks)} runs were done before the last one was interrupted: {folder}"
        )
    at_once = 1 if any(claim.timed for claim in claims) else machine.cores()
    workers = min(processes or at_once, max(len(left), 1))
    context = multiprocessing.get_context("spawn")
    queue, stop = context.Queue(), context.Event()
    with progress.bar(label or claims[0].name, len(tasks), done) as bar:
        follower = threading.Thread(target=_follow, args=(queue, bar), daemon=True)
        follower.start()
        pool = ProcessPoolExecutor(workers, context, _begin, (queue, stop))
        try:
            futures = {}
            with _deaf_to_interrupts():  # which processes that begin now inherit
                for claim, setting, seed in left:
                    state = kept[claim.name].state(setting, seed)
                    future = pool.submit(_one, claim.run, setting, seed, state)
                    futures[future] = (claim.name, setting, seed)
            for future in as_completed(futures):
                name, setting, seed = futures[future]
                kept[name].add(setting, seed, future.result())
        finally:
            # Where this is left by an error or Ctrl-C, runs end at their next step.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            queue.put(None)
            follower.join()
    found: dict[str, list[Plain]] = {claim.name: [] for claim in claims}
    for claim, setting, seed in tasks:
        one = kept[claim.name].get(setting, seed)
        found[claim.name].append({**setting, "seed": seed, **one})
    for each in kept.values():
        each.forget()
    return found


class Kept:
    """What runs have found, in a file of a line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Plain] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    run = json.loads(line)
                except json.JSONDecodeError:  # the last line, where writing it was interrupted
                    continue
                self.found[_key(run["setting"], run["seed"])] = run["found"]

    def get(self, setting: Plain, seed: int) -> Plain | None:
        return self.found.get(_key(setting, seed))

    def add(self, setting: Plain, seed: int, found: Plain) -> None:
        self.found[_key(setting, seed)] = found
        with self.path.open("a") as file:
            file.write(json.dumps({"setting": setting, "seed": seed, "found": found}) + "\n")

    def state(self, setting: Plain, seed: int) -> Path:
        """Where a run may keep its state."""
        name = hashlib.sha256(_key(setting, seed).encode()).hexdigest()[:16]
        return self.path.with_suffix("") / f"{name}.pt"

    def forget(self) -> None:
        """All is done: the next run begins anew."""
        self.path.unlink(missing_ok=True)


def _key(setting: Plain, seed: int) -> str:
    return json.dumps([setting, seed], sort_keys=True)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; the one that started the others tells them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(queue, stop) -> None:
    torch.set_num_threads(1)
    progress.to(queue.put, stop.is_set)


def _one(run: Callable[[Plain, int, Path], Plain], setting: Plain, seed: int, state: Path) -> Plain:
    progress.start()
    started = time.process_time()
    found = run(setting, seed, state)
    seconds = time.process_time() - started
    progress.finish()
    state.unlink(missing_ok=True)
    return {"cpu_seconds": round(seconds, 2), **found}


def _follow(queue, bar) -> None:
    """Moves the bar by what processes say of their progress, until None."""
    while (share := queue.get()) is not None:
        bar.update(share)
