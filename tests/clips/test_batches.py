import dataclasses

import numpy as np
import pytest
import torch

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import Batch, batches_per_epoch, ordered_batches, training_batches
from kdlib.clips.sampling import Sampling

CPU = torch.device("cpu")


def epoch_of(source, seed=0, epoch=0, batch_size=8, **options):
    return list(training_batches(source, batch_size, seed=seed, epoch=epoch, device=CPU, **options))


def test_an_epoch_is_determined_by_seed_and_epoch(source):
    first, again = epoch_of(source), epoch_of(source)
    assert all(torch.equal(a.clips, b.clips) for a, b in zip(first, again, strict=True))
    for other in (epoch_of(source, seed=1), epoch_of(source, epoch=1)):
        assert not torch.equal(first[0].indices, other[0].indices)


def test_labels_belong_to_their_clips(source, videos):
    for batch in epoch_of(source):
        assert torch.equal(batch.labels, torch.from_numpy(videos.labels)[batch.indices])
        brightest = batch.clips.mean((2, 3, 4)).argmax(1)
        assert torch.equal(brightest, batch.labels)


def test_every_video_once_and_no_small_last_batch(source):
    seen = torch.cat([batch.indices for batch in epoch_of(source, batch_size=10)])
    assert len(seen) == 20
    assert len(seen.unique()) == 20


def test_a_selection_smaller_than_a_batch_is_one_batch(source):
    batches = epoch_of(source, indices=np.array([3, 5]))
    assert len(batches) == 1
    assert sorted(batches[0].indices.tolist()) == [3, 5]
    assert batches_per_epoch(2, 8) == 1


def test_ordered_batches_keep_the_order_and_all_views(source):
    two = dataclasses.replace(source, sampling=Sampling("segments", 4, views=2))
    batches = list(ordered_batches(two, CPU, 10))
    indices = torch.cat([batch.indices for batch in batches])
    assert indices.tolist() == np.repeat(np.arange(24), 2).tolist()
    assert batches[0].clips.shape == (20, 3, 4, 16, 16)
    assert torch.equal(batches[0].labels, torch.from_numpy(source.videos.labels)[indices[:20]])


def test_repeated_videos_stand_together_with_views_of_their_own(source):
    batches = epoch_of(source, batch_size=4, repeats=3)
    assert [len(batch.indices) for batch in batches] == [12] * 6
    seen = torch.cat([batch.indices for batch in batches]).view(-1, 3)
    assert torch.equal(seen, seen[:, :1].expand(-1, 3))
    assert len(seen[:, 0].unique()) == 24
    first, second, _ = batches[0].clips.unflatten(0, (4, 3)).unbind(1)
    assert not torch.equal(first, second)
    (once, *_) = epoch_of(source, batch_size=4)
    assert torch.equal(once.indices, batches[0].indices[::3])


def test_clips_are_fixed_where_nothing_of_them_is_drawn(source):
    frames = int(source.videos.lengths.min())
    still = dataclasses.replace(
        source, augmentation=Augmentation(), sampling=Sampling("dense", frames)
    )
    assert still.fixed
    assert all(batch.fixed for batch in epoch_of(still))
    one, other = (epoch_of(still, epoch=epoch, batch_size=24)[0] for epoch in (0, 1))
    clips = [batch.clips[batch.indices.argsort()] for batch in (one, other)]
    assert torch.equal(*clips)
    assert not any(batch.fixed for batch in ordered_batches(still, CPU))
    for change in (
        {"augmentation": Augmentation("shift")},
        {"augmentation": Augmentation(mirror=True)},
        {"sampling": Sampling("dense", frames - 1)},
        {"sampling": Sampling("segments", frames // 2)},
    ):
        moving = dataclasses.replace(still, **change)
        assert not moving.fixed
        assert not any(batch.fixed for batch in epoch_of(moving))


@pytest.mark.parametrize("labels", [True, False])
def test_a_batch_splits_into_its_rows(labels):
    rows = torch.arange(5.0)
    clips = rows.view(5, 1, 1, 1, 1).expand(5, 3, 2, 4, 4)
    whole = Batch(
        clips, rows.long() if labels else None, rows.long(), (clips + 10, clips + 20), {"b": rows}
    )
    first, second = whole.split([2, 3])
    for batch, expected in ((first, [0, 1]), (second, [2, 3, 4])):
        assert batch.indices.tolist() == expected
        assert (batch.labels is None) is not labels
        assert batch.known["b"].tolist() == expected
        assert [other[:, 0, 0, 0, 0].tolist() for other in batch.others] == [
            [row + 10 for row in expected],
            [row + 20 for row in expected],
        ]


def test_batches_that_are_read_together_are_as_alone(source, monkeypatch):
    together = epoch_of(source, batch_size=8)
    monkeypatch.setattr("kdlib.clips.batches._TOGETHER", 1)
    for ours, alone in zip(together, epoch_of(source, batch_size=8), strict=True):
        assert torch.equal(ours.indices, alone.indices)
        assert torch.equal(ours.labels, alone.labels)
        assert ours.clips.shape == alone.clips.shape
        assert ours.clips.is_contiguous(memory_format=torch.channels_last_3d)
