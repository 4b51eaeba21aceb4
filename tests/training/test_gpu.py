"""What a GPU computes is what the CPU does: every method's first steps, half precision, resuming.

The clips and all random numbers are drawn on the CPU and moved, so that only arithmetic differs.
"""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch

from kdlib import methods
from kdlib.clips.batches import training_batches
from kdlib.methods.base import Epoch
from kdlib.models.slowfast import build as slowfast
from kdlib.runs.build import clip_source, method_of, model_of
from kdlib.runs.datasets import Datasets
from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.setting import Setting
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SETTING = Setting("smoke")
# A small rate, since CVRL's gradients are large.
RATE, STEPS = 1e-4, 3


def spec_of(name):
    """The first run of the book that is trained by this method."""
    every = [spec for chapter in chapter_names() for spec in Chapter(chapter, SETTING).specs()]
    return next((spec for spec in every if spec.method.name == name), None)


def _drawn(maker, *args, device=None, **options):
    return maker(*args, **options).to(device or "cpu")


@pytest.fixture
def drawn_here(monkeypatch):
    """Random numbers for a GPU come from the CPU's generator."""
    for maker in ("rand", "randn", "randint", "randperm"):
        monkeypatch.setattr(torch, maker, partial(_drawn, getattr(torch, maker)))
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.randn(x.shape).to(x))


@contextmanager
def exact_convolutions():
    """float32 as it is written, without TF32, by the same algorithm every time."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def made(spec, videos, device):
    """The method of a spec on a device; teachers stay as they are drawn."""
    classes = len(videos.classes)
    torch.manual_seed(0)
    student = model_of(spec, classes)
    teachers = [model_of(teacher, classes) for teacher in spec.method.teachers]
    return method_of(spec.method, student, teachers).to(device)


def moved(batch, device):
    return replace(
        batch,
        clips=batch.clips.to(device),
        labels=None if batch.labels is None else batch.labels.to(device),
        others=tuple(clips.to(device) for clips in batch.others),
        known={name: value.to(device) for name, value in batch.known.items()},
    )


def trained(spec, videos, device, precision=torch.float32, path=()):
    """The losses of the first steps, the state behind each, and by how much it moved the weights.

    path: such states of another training, each taken over before the next step, so that what is
    compared are single steps.
    """
    method, cpu = made(spec, videos, device), torch.device("cpu")
    for module in method.modules():
        if isinstance(module, torch.nn.Dropout):  # a GPU draws its own
            module.p = 0.0
    source = clip_source(videos, spec.data, "train")
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], RATE)
    size = min(8, len(videos))

    def ordered(indices=None, clips=size):
        batches = training_batches(source, clips, seed=1, epoch=0, device=cpu, indices=indices)
        return (moved(batch, device) for batch in batches)

    trainable = [name for name, p in method.named_parameters() if p.requires_grad]
    losses, states, updates = [], [], []
    for epoch in range(STEPS):
        if path and epoch:
            method.load_state_dict(path[epoch - 1])
        before = {name: method.get_parameter(name).detach().clone() for name in trainable}
        torch.manual_seed(epoch)
        # Of what is selected a step sees but the first batch; the selection itself is of numbers
        # that differ in their last digits, and is tested on its own.
        if spec.method.name != "adaptive":
            method.before_epoch(Epoch(epoch, STEPS, len(videos), ordered))
        (batch,) = (batch for _, batch in zip(range(1), ordered(), strict=False))
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            loss = method.step(batch, epoch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        losses.append(loss.item())
        states.append({name: value.cpu().clone() for name, value in method.state_dict().items()})
        updates.append(
            {n: (method.get_parameter(n) - old).detach().cpu() for n, old in before.items()}
        )
    return losses, states, updates


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return Datasets(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", methods.names())
def test_the_first_steps_are_those_of_the_cpu(name, datasets, drawn_here):
    spec = spec_of(name)
    if spec is None:
        pytest.skip(f"no run of the book is trained by {name}")
    videos = datasets.load(spec.data)["train"]
    with exact_convolutions():
        losses, states, updates = trained(spec, videos, "cpu")
        found, there, moved_there = trained(spec, videos, "cuda", path=states)
    assert found == pytest.approx(losses, rel=1e-4, abs=1e-5)
    for here, state in zip(there, states, strict=True):
        for key, value in state.items():
            torch.testing.assert_close(
                here[key], value, atol=1e-4, rtol=1e-4, msg=lambda said, key=key: f"{key}: {said}"
            )
    # A step is so small that a wrong gradient hides in weights. Rounding alone moves it by 3 %
    # where it turns a late ReLU on or off: as much as noise of 3e-6 in the clips does on a CPU.
    for here, update in zip(moved_there, updates, strict=True):
        whole = torch.cat([value.flatten() for value in update.values()]).norm()
        for key, value in update.items():
            off = (here[key] - value).norm()
            assert off <= 5e-2 * value.norm() + 5e-4 * whole, f"{key}: {off} of {value.norm()}"


@pytest.mark.parametrize("name", methods.names())
def test_half_precision_changes_the_loss_by_little(name, datasets, drawn_here):
    spec = spec_of(name)
    if spec is None:
        pytest.skip(f"no run of the book is trained by {name}")
    videos = datasets.load(spec.data)["train"]
    whole, states, _ = trained(spec, videos, "cuda")
    half, *_ = trained(spec, videos, "cuda", torch.bfloat16, states)
    assert half == pytest.approx(whole, rel=0.02, abs=0.01)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_an_interrupted_training_goes_on_exactly(tiny, source, tmp_path, precision):
    recipe = Recipe(epochs=4, learning_rate=2e-2, batch_size=8, warmup_epochs=1)
    options = {"seed": 0, "validation": source, "device": "cuda", "precision": precision}

    def method():
        return methods.build("kd", tiny(dropout=0.2), [tiny(1)])

    def interrupt(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    straight, resumed, file = method(), method(), tmp_path / "checkpoint.pt"
    with exact_convolutions():
        fit(straight, source, recipe, **options)
        kept = {"checkpoint": file, "checkpoint_seconds": 0}
        with pytest.raises(KeyboardInterrupt):
            fit(method(), source, recipe, progress=interrupt, **kept, **options)
        fit(resumed, source, recipe, **kept, **options)
    for name, value in straight.student.state_dict().items():
        torch.testing.assert_close(resumed.student.state_dict()[name], value, msg=name)


def test_a_network_of_true_size_gives_the_cpu_s_logits():
    torch.manual_seed(0)
    network, clips = slowfast(400).eval(), torch.randn(1, 3, 32, 112, 112)
    with torch.no_grad(), exact_convolutions():
        here, there = network(clips), network.cuda()(clips.cuda()).cpu()
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3)
