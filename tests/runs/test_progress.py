"""The engine's progress bar, with workers that only say that they work."""

from multiprocessing import Pipe
from types import SimpleNamespace

from kdlib.runs import engine
from kdlib.runs.worker import DONE, EPOCH, Planned

EPOCHS, RUNS, SECONDS = 3, 10, 0.3


class Worker:
    """It finishes an epoch, or a run, whenever it is asked."""

    def __init__(self):
        self.connection, far = Pipe()
        far.send("something to read")
        self.run, self.epochs = None, 0

    @property
    def current(self):
        return self.run, self.epochs

    def give(self, run, place):
        self.run, self.epochs = run, 0

    def receive(self):
        if self.epochs < EPOCHS:
            self.epochs += 1
            return EPOCH, str(self.epochs)
        self.run = None
        return DONE, ""


class Bar:
    """What the engine asks of tqdm's."""

    def __init__(self, total):
        self.total, self.n, self.seen = total, 0.0, []

    def update(self, amount):
        self.n += amount
        self.seen.append(self.n)

    def set_description_str(self, text):
        self.text = text


def test_it_ends_at_its_end_and_never_beyond_however_shares_round():
    spec = SimpleNamespace(recipe=SimpleNamespace(epochs=EPOCHS))
    runs = {str(k): Planned(spec, str(k), (), SECONDS) for k in range(RUNS)}
    bar = Bar(sum(run.seconds for run in runs.values()))
    assert sum([SECONDS / EPOCHS] * EPOCHS * RUNS) > bar.total, "else rounding is not tried"
    outcome = engine._drive(runs, [Worker()], (), bar)
    assert len(outcome.trained) == RUNS
    assert max(bar.seen) <= bar.total
    assert abs(bar.n - bar.total) < 1e-12
    assert bar.seen == sorted(bar.seen)
    assert len(set(bar.seen)) >= EPOCHS * RUNS - 1
    assert bar.text == f"{RUNS}/{RUNS} runs"
