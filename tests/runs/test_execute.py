"""What a run says of its last and of its chosen epoch."""

import numpy as np
import pytest
import torch

from kdlib.methods.supervised import Supervised
from kdlib.runs import execute
from kdlib.training.evaluate import predict
from kdlib.training.loop import History


@pytest.mark.parametrize("best", [0, 1])
def test_the_chosen_epoch_is_judged_by_its_own_weights(best, tiny, source):
    method = Supervised(tiny())
    last = execute.copied(method.student.state_dict())
    head = {name: -value for name, value in last.items() if name.startswith("head")}
    weights = [last | head, last]
    expected = []
    for state in weights:
        method.student.load_state_dict(state)
        expected.append(predict(method, source).values.mean(1).argmax(1).numpy())
    assert (expected[0] != expected[1]).any(), "else the next lines could not tell them apart"
    history = History([{}, {}], best, weights[best])
    _, traces = execute.tested(method, source, history, (last, {}), "cpu")
    assert np.array_equal(traces["predicted_last"], expected[1])
    assert np.array_equal(traces["predicted_chosen"], expected[best])
    state = method.student.state_dict()
    assert all(torch.equal(state[name], last[name]) for name in last)


def test_a_checkpoint_belongs_to_the_run(store, datasets, planned, make_spec, monkeypatch):
    given = {}

    def stand_in(*_, **options):
        given.update(options)
        raise StopIteration

    monkeypatch.setattr(execute, "fit", stand_in)
    (run,), _ = planned(make_spec())
    with pytest.raises(StopIteration):
        execute.execute(run.spec, run.key, store, datasets.load(run.spec.data), [])
    assert given["belongs_to"] == run.key
    assert given["checkpoint"] == store.checkpoint(run.key)
