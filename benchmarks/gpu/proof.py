"""Runs sections one after another, the most valuable first, within a time that is given: a budget
of seconds for each, its units in processes of their own, all that is found on the disk at once.

A section's budget is its part, by weight, of the time that is left: what one does not use the next
ones have. One that needs more than its part is given that, where so much is left: what comes first
is worth more. One that cannot be begun is skipped, and the reason is written.

Nothing here imports torch: this process never has a CUDA context that could be lost.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from .journal import Journal
from .workers import Worker

#: Seconds, of the end: results are written, tables printed.
RESERVE = 5.0
#: Seconds, or a part of its budget, that a section's last unit may take more.
GRACE, GRACE_PART = 10.0, 0.1
#: Seconds without a word, after which the terminal is told what is being waited for.
SILENCE = 10.0
#: Processes that end before they have found anything, one after another, before a section is
#: given up.
TRIES = 5


@dataclass(frozen=True)
class Section:
    """A part of the proof.

    Args:
        name: of the part, and of its module.
        weight: seconds that it takes, about; its part of the time.
        least: seconds without which it is not begun.
        most: seconds that a unit may take; one that takes longer hangs, and that is a failure.
        together: units at a time, at most.
        module: has ``units(place)``, a list of tuples or the reason why there are none; and
            ``run(place, unit, emit, limit)``, which calls emit(**found) for everything found, a
            line for the terminal in ``text``, and the reason in ``failed`` where it is a failure.
        needed: whether nothing can be proved without it.
        without: added to the environment of all that follows where it fails or is cut.
    """

    name: str
    weight: float
    least: float
    most: float
    together: int = 1
    module: str = ""
    needed: bool = False
    without: dict[str, str] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether the others need it."""
        return self.needed or bool(self.without)

    @property
    def place(self) -> str:
        return self.module or f"{__package__}.sections.{self.name}"


@dataclass
class Busy:
    """A worker at a unit."""

    unit: tuple
    began: float
    found: bool = False


@dataclass
class Proof:
    """A run: where it writes, the time at which it ends, and how workers are started."""

    journal: Journal
    until: float  # time.monotonic()
    stands_in: bool
    environment: dict[str, str] = field(default_factory=dict)
    say: Callable[[str], object] = lambda line: print(line, flush=True)
    _workers: list[Worker] = field(default_factory=list)
    _failing: set[str] = field(default_factory=set)  # sections

    def run(self, sections: Sequence[Section]) -> None:
        """All sections, as far as the time goes."""
        try:
            for number, section in enumerate(sections):
                left = self.until - RESERVE - time.monotonic()
                rest = sum(other.weight for other in sections[number:])
                budget = min(left, max(section.least, left * section.weight / rest))
                state, why = self._section(section, budget)
                self.journal.write(section=section.name, event="end", state=state, why=why)
                self.say(f"   {state}{f': {why}' if why else ''}")
                self.journal.save()
                if section.needed and state == "skipped":
                    return
                if section.without and (state == "cut" or section.name in self._failing):
                    self.environment |= section.without
                    self._only(0)
        finally:
            self._only(0)

    def _section(self, section: Section, budget: float) -> tuple[str, str]:
        """Runs one; its state, and why it is not done."""
        self.journal.write(section=section.name, event="begin", budget_s=round(budget, 1))
        self.say(f"\n== {section.name}, {max(budget, 0):.0f} s")
        if budget < section.least:
            return "skipped", f"{budget:.0f} s are left, it needs {section.least:.0f}"
        end = time.monotonic() + budget
        units = self._units(section, end)
        if isinstance(units, str):
            return "skipped", units
        self._only(min(section.together, len(units), max(1, cores() - 1)))
        return self._run(section, deque(units), end)

    def _units(self, section: Section, end: float) -> list[tuple] | str:
        """What a section consists of here, or why of nothing; that nobody can say is a failure."""
        self._only(max(1, len(self._workers)))
        worker = self._workers[0]
        try:
            worker.pipe.send(("units", section.place))
            if worker.pipe.poll(max(0.0, end - time.monotonic())):
                what, said = worker.pipe.recv()
                if what == "failed":
                    self._failed(section, (), said, worker.told())
                return said
            why = "its units were not named in time"
        except (EOFError, OSError):
            why = "the process that was to name its units ended"
        self._failed(section, (), why, self._replace(worker))
        return why

    def _run(self, section: Section, waiting: deque[tuple], end: float) -> tuple[str, str]:
        busy: dict[Worker, Busy] = {}
        grace = max(GRACE, GRACE_PART * (end - time.monotonic()))
        hard = min(end + grace, self.until - RESERVE / 2)
        tries, stopped, heard = TRIES, "", time.monotonic()
        while waiting or busy:
            if waiting and time.monotonic() >= end:
                stopped = stopped or "its time was over"
            while stopped and waiting:
                self._left_out(section, waiting.popleft(), stopped)
            for worker in [w for w in self._workers if w not in busy]:
                if waiting and not self._begin(section, worker, waiting[0], busy, end):
                    continue
                if waiting:
                    waiting.popleft()
            for worker in wait_for(busy):
                tries = TRIES if self._answer(section, worker, busy) else tries - 1
                heard = time.monotonic()
            if time.monotonic() > heard + SILENCE:
                self._still(busy)
                heard = time.monotonic()
            for worker, at in list(busy.items()):
                took = time.monotonic() - at.began
                if took > section.most:
                    wrote = self._replace(worker, busy)
                    self._failed(section, at.unit, f"no end after {took:.0f} s", wrote)
                elif time.monotonic() > hard:
                    self._replace(worker, busy)
                    self._left_out(section, at.unit, f"its time was over, after {took:.0f} s")
                    stopped = stopped or "its time was over"
            if tries <= 0 and not stopped:
                stopped = f"{TRIES} processes ended one after another before they found anything"
        return ("cut", stopped) if stopped else ("done", "")

    def _begin(self, section: Section, worker: Worker, unit: tuple, busy: dict, end: float) -> bool:
        """Hands a unit to a worker; False where the worker is no more."""
        try:
            worker.pipe.send(("unit", section.place, unit, end - time.monotonic()))
        except OSError:
            self._replace(worker, busy)
            return False
        busy[worker] = Busy(unit, time.monotonic())
        return True

    def _answer(self, section: Section, worker: Worker, busy: dict[Worker, Busy]) -> bool:
        """Takes what a worker says; False where it ended without a word."""
        at = busy[worker]
        try:
            what, *rest = worker.pipe.recv()
        except (EOFError, OSError):
            self._failed(section, at.unit, "its process died", self._replace(worker, busy))
            return at.found
        if what == "result":
            at.found = True
            self._found(section, at.unit, rest[0])
            return True
        del busy[worker]
        if what == "failed":
            self._failed(section, at.unit, rest[0], worker.told())
        if not rest[-1]:  # no kernel runs in that process any more
            self._replace(worker, busy)
        return True

    def _still(self, busy: dict[Worker, Busy]) -> None:
        """Says what nobody has heard of for long."""
        for worker, at in busy.items():
            took = time.monotonic() - at.began
            self.say(
                f"   still at {' '.join(map(str, at.unit))}, {took:.0f} s: {worker.last_line()}"
            )

    def _found(self, section: Section, unit: tuple, found: dict) -> None:
        text = found.pop("text", "")
        if "failed" in found:
            self._failing.add(section.name)
        self.journal.write(section=section.name, unit=unit, result=found)
        failed = f" FAILED: {found['failed']}" if "failed" in found else ""
        if text or failed:
            self.say(f"   {text}{failed}")

    def _failed(self, section: Section, unit: tuple, why: str, wrote: str) -> None:
        self._failing.add(section.name)
        self.journal.write(section=section.name, unit=unit, event="failed", why=why, wrote=wrote)
        self.say(f"   {' '.join(map(str, unit))} FAILED: {why}\n{wrote}")
        self.journal.save()

    def _left_out(self, section: Section, unit: tuple, why: str) -> None:
        self.journal.write(section=section.name, unit=unit, event="left out", why=why)

    def _replace(self, worker: Worker, busy: dict[Worker, Busy] | None = None) -> str:
        """Ends a worker, with a new one in its place; how it ended."""
        if busy is not None:
            busy.pop(worker, None)
        how = worker.kill()
        self._workers[self._workers.index(worker)] = Worker(self.stands_in, self.environment)
        return how

    def _only(self, count: int) -> None:
        """So many workers: others would hold memory, and disturb what is timed."""
        for worker in self._workers[count:]:  # all at once: a context takes long to go
            worker.signal()
        for worker in self._workers[count:]:
            worker.kill()
        del self._workers[count:]
        while len(self._workers) < count:
            self._workers.append(Worker(self.stands_in, self.environment))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def wait_for(busy: dict[Worker, Busy]) -> list[Worker]:
    """Workers that have something to say, after a second at most."""
    ready = wait([worker.pipe for worker in busy], 1.0) if busy else []
    return [worker for worker in busy if worker.pipe in ready]
