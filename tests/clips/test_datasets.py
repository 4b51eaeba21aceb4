import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource, ordered_batches, training_batches
from kdlib.clips.datasets import DatasetSource, source_of
from kdlib.clips.sampling import Sampling
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.training.evaluate import judged
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=3, learning_rate=2e-2, batch_size=8)


class Own(Dataset):
    """The videos of a test as somebody's own data set, whole, as `shown` makes its clips."""

    def __init__(self, videos, shown=lambda clip: clip):
        self.videos, self.shown = videos, shown

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, item):
        start, length = self.videos.starts[item], self.videos.lengths[item]
        clip = torch.from_numpy(self.videos.frames[start : start + length])
        return self.shown(clip), int(self.videos.labels[item])


SHOWN = {
    "bytes": lambda clip: clip,
    "bytes, colours first": lambda clip: clip.permute(3, 0, 1, 2),
    "an array": lambda clip: clip.numpy(),
    "floats from 0 to 1": lambda clip: clip.permute(3, 0, 1, 2) / 255,
    "doubles": lambda clip: clip.double() / 255,
}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_data_set_of_ones_own_gives_the_batches_that_videos_give(videos, kind):
    ours = ClipSource(videos, Sampling("segments", 4), Augmentation(), 16)
    theirs = source_of(Own(videos, SHOWN[kind]), 3)
    for mine, other in (
        (
            training_batches(ours, 8, seed=1, epoch=2, device=CPU),
            training_batches(theirs, 8, seed=1, epoch=2, device=CPU),
        ),
        (ordered_batches(ours, CPU, 10), ordered_batches(theirs, CPU, 10)),
    ):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(b.clips, a.clips, atol=1e-5, rtol=0)
            assert torch.equal(a.labels, b.labels)
            assert torch.equal(a.indices, b.indices)


def test_a_training_on_it_is_the_same_to_the_bit(videos, tiny):
    ours = ClipSource(videos, Sampling("segments", 4), Augmentation(), 16)
    found = []
    for data in (ours, Own(videos)):
        method = build("kd", tiny(), [tiny(1)])
        history = fit(method, data, RECIPE, seed=0, validation=data)
        found.append((method.student.state_dict(), history, judged(method, source_of(data, 3))))
    (a, one, said), (b, other, says) = found
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert [row["validation_score"] for row in one.epochs] == [
        row["validation_score"] for row in other.epochs
    ]
    assert said == says


def test_a_method_that_looks_before_an_epoch_has_it_too(videos, tiny):
    method = build("adaptive", build("kd", tiny(), [tiny(1)]), ratio=0.5)
    history = fit(method, Own(videos), RECIPE, seed=0)
    assert [row["samples"] for row in history.epochs] == [8.0] * 3


def test_workers_read_the_same(videos):
    parts = [np.arange(8), np.arange(8, 24)]
    one, many = (DatasetSource(Own(videos), workers=w).batches(parts, CPU) for w in (0, 2))
    for a, b in zip(one, many, strict=True):
        assert torch.equal(a.clips, b.clips)


def test_what_is_normalised_stays_as_it_is(videos):
    clips = torch.randn(4, 3, 4, 16, 16)
    source = DatasetSource(TensorDataset(clips, torch.arange(4)), normalised=True)
    (batch,) = source.batches([np.array([2, 0])], CPU)
    assert torch.equal(batch.clips, clips[[2, 0]])
    assert batch.labels.tolist() == [2, 0]


def test_labels_may_be_multi_hot_or_missing():
    clips = torch.zeros(4, 2, 16, 16, 3, dtype=torch.uint8)
    hot = torch.eye(4)
    (batch,) = DatasetSource(TensorDataset(clips, hot)).batches([np.arange(4)], CPU)
    assert torch.equal(batch.labels, hot)
    (batch,) = DatasetSource(TensorDataset(clips)).batches([np.arange(4)], CPU)
    assert batch.labels is None


def test_the_best_epoch_is_put_back(videos, tiny):
    method = build("supervised", tiny(), [])
    recipe = Recipe(epochs=6, learning_rate=0.5, batch_size=8, optimizer="sgd", schedule="constant")
    history = fit(method, Own(videos), recipe, seed=3, validation=Own(videos), keep="best")
    state = method.student.state_dict()
    assert history.best_epoch < 5
    assert all(torch.equal(state[name], value) for name, value in history.best_state.items())
    best = history.epochs[history.best_epoch]["validation_score"]
    assert judged(method, source_of(Own(videos), 3))["score"] == best


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


GOOD = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
MISTAKES = [
    (Stream(), "a Dataset with a length and items .clip, label., not Stream"),
    ([], "the list has no items"),
    ([(GOOD, 0), (GOOD[:1], 1)], "item 1 is .1, 16, 16, 3. of torch.uint8 and item 0"),
    ([(GOOD, 0), (GOOD.float(), 1)], "item 1 is .*torch.float32 and item 0"),
    ([(GOOD.permute(0, 3, 1, 2), 0)] * 2, r"item 0 is no clip .* but \(2, 3, 16, 16\)"),
    ([("a.mp4", 0)] * 2, "item 0 is no clip .* but str"),
    ([(GOOD.int(), 0)] * 2, "item 0 is of torch.int32; give bytes"),
    ([(GOOD.float() + 200, 0)] * 2, "floats from 200 to 200; give bytes, floats from 0 to 1"),
    ([(GOOD, 3)] * 2, "label of item 0 is 3, and the student has 3 classes, from 0"),
    ([(GOOD, -1)] * 2, "label of item 0 is -1"),
    ([(GOOD, "wave")] * 2, "label of item 0 is 'wave'; the number of a class"),
    ([(GOOD, 0.5)] * 2, "label of item 0 is 0.5; the number of a class"),
    ([(GOOD, 0, 1)] * 2, "item 0 is no .clip, label."),
    ([(GOOD, 0), (GOOD,)], "item 0 is no .clip, label."),
    ([(GOOD, 0), (GOOD, torch.eye(3)[0])], "labels of several shapes"),
    ([(GOOD,)] * 2, "data.labels: withheld"),
]


@pytest.mark.parametrize(("data", "message"), MISTAKES, ids=[text for _, text in MISTAKES])
def test_a_mistake_is_one_line_that_names_the_item(tiny, data, message):
    class InOrder(Dataset):
        def __len__(self):
            return len(data)

        def __getitem__(self, item):
            return data[item]

    given = InOrder() if isinstance(data, list) and data else data
    method = build("supervised", tiny(), [])
    with pytest.raises(UserError, match=message) as error:
        judged(method, source_of(given, 3))  # in which items come in order
    assert "\n" not in str(error.value)


def test_what_to_keep_is_checked(source, tiny):
    method = build("supervised", tiny(), [])
    with pytest.raises(UserError, match="keep: the best epoch is found on validation clips"):
        fit(method, source, RECIPE, seed=0, keep="best")
    with pytest.raises(UserError, match="keep: unknown value 'first'"):
        fit(method, source, RECIPE, seed=0, keep="first")
