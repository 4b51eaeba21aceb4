import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

import kdlib
from kdlib import models
from kdlib.analysis.metrics import video_logits
from kdlib.clips.sampling import Sampling
from kdlib.data import manifest as manifests
from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.runs.build import clip_source
from kdlib.runs.datasets import Datasets
from kdlib.runs.engine import run_all
from kdlib.runs.execute import execute
from kdlib.runs.plan import plan
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.runs.store import RunStore, run_key
from kdlib.runs.student_files import load_student, save_student
from kdlib.runs.students import Student, infer, read_clip, record_named, student_of
from kdlib.training.evaluate import predict
from kdlib.training.recipe import Recipe

RECIPE = Recipe(epochs=2, learning_rate=1e-2, batch_size=4)


def film(path, seed, frames=12, size=(48, 64)):
    """A short video of noise that moves and brightens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    ground = draw.integers(0, 200, (*size, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for frame in range(frames):
            picture = np.roll(ground, 3 * frame, axis=1) + 4 * frame
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        container.mux(stream.encode())
    return path


@pytest.fixture
def filmed(small_set):
    """Twelve training and eight test films of two classes in data/films, of several sizes."""
    (manifests.MANIFESTS / "films.yaml").write_text(
        "name: films\ntitle: Films\nclasses: [jump, wave]\nlayout: {kind: folders}\n"
        "splits: {all: {train: 12, test: 8}}\n"
    )
    for part, count in (("train", 6), ("test", 4)):
        for n, label in enumerate(("jump", "wave")):
            for i in range(count):
                film(
                    small_set / f"data/films/{part}/{label}/{i}.mp4",
                    seed=100 * n + i + 50 * (part == "test"),
                    frames=6 + i,
                    size=(48 + 2 * i, 64),
                )
    return small_set


def run(root, spec):
    store, datasets = RunStore(root / "store"), Datasets(root / "cache", root / "data")
    keys = datasets.keys([spec])
    for one in plan([spec], store, "cpu", keys)[0]:
        needed = [store.find(key) for key in one.needs]
        execute(one.spec, one.key, store, datasets.load(one.spec.data), needed)
    return store.find(run_key(spec, "cpu", keys)), datasets


def test_a_file_is_given_the_class_that_the_run_s_evaluation_gave_it(filmed):
    data = DataSpec("films", frames=3, size=16, sampling="dense", stride=2, views=2)
    teacher = RunSpec(data, ModelSpec("tsn", {"width": 8}), RECIPE)
    method = MethodSpec("resolution", (teacher,), {"resolution": 8})
    record, datasets = run(filmed, RunSpec(data, ModelSpec("tsn", {"width": 8}), RECIPE, method))
    student = student_of(record)
    assert (student.size, student.side, student.resolution) == (16, 18, 8)
    path = save_student(student, filmed / "elsewhere.safetensors")
    again = load_student(path)
    names = datasets.load(data)["test"].factors["name"]
    source = clip_source(datasets.load(data)["test"], data, "test")
    judged = predict(Supervised(record.student(), resolution=8), source)
    expected = video_logits(judged.values)
    assert expected.argmax(1).tolist() == record.traces["predicted_last"].tolist()
    assert np.unique(expected.round(5), axis=0).shape == (8, 2)  # else little is tested
    for name, row in zip(names, expected, strict=True):
        (file,) = (filmed / "data/films/test").glob(str(name).removeprefix("test/") + "*")
        found = infer(student, file)
        assert infer(again, file) == found
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert [found[label] for label in student.classes] == pytest.approx(row, abs=1e-5)
    assert again.provenance["run"] == record.path.name
    assert again.provenance["environment"]["packages"]["torch"] in torch.__version__
    assert json.loads(again.provenance["spec"])["data"]["name"] == "films"


def test_a_student_of_still_images_is_asked_of_an_image_of_any_kind(small_set):
    files = sorted((small_set / "data/mine/test").rglob("*.png"))
    for file, suffix in zip(files, (".tiff", ".jfif", ".gif", ".TIF"), strict=True):
        with Image.open(file) as picture:
            more = {"append_images": [Image.new("RGB", picture.size)]} if suffix == ".gif" else {}
            picture.save(file.with_suffix(suffix), save_all=bool(more), **more)
        file.unlink()
    data = DataSpec("mine", frames=1, size=16)
    record, datasets = run(small_set, RunSpec(data, ModelSpec("tsn", {"width": 4}), RECIPE))
    asked, test = student_of(record), datasets.load(data)["test"]
    judged = predict(Supervised(record.student()), clip_source(test, data, "test"))
    assert len(test) == 4
    for name, row in zip(test.factors["name"], video_logits(judged.values), strict=True):
        found = infer(asked, small_set / "data/mine" / str(name))
        assert [found[label] for label in asked.classes] == pytest.approx(row, abs=1e-5)


def test_a_gif_is_a_picture_to_a_student_of_images_and_a_film_to_one_of_videos(tmp_path):
    """As to their evaluations: the first picture, or the one in the middle."""
    first, *others = (Image.new("RGB", (32, 32), (level,) * 3) for level in (50, 100, 150))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    seen = []
    for side in (None, 18):
        made = student(sampling=Sampling("segments", 1), side=side)
        made.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
        infer(made, tmp_path / "a.gif")
    levels = [float(clips[0, 0].mean() * 0.229 + 0.485) * 255 for clips in seen]
    assert levels == pytest.approx([50, 100], abs=1)


def student(**changes):
    torch.manual_seed(0)
    network = models.build("tsn", 3, width=4).eval()
    made = Student(network, ("a", "b", "c"), Sampling("segments", 4), 16, provenance={"by": "me"})
    return replace(made, **changes)


def test_what_is_saved_is_loaded(tmp_path):
    made = student(side=18, resolution=8, at_most=100)
    again = load_student(save_student(made, tmp_path / "x.safetensors"))
    for name in ("classes", "sampling", "size", "side", "resolution", "at_most", "provenance"):
        assert getattr(again, name) == getattr(made, name)
    ours, theirs = made.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not again.network.training
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        said = json.loads(file.metadata()["kdlib"])
    assert said["architecture"] == {"name": "tsn", "options": {"width": 4}}
    assert said["mean"] == [0.485, 0.456, 0.406]
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_clip_is_read_as_a_student_is_shown_it(tmp_path):
    path = film(tmp_path / "x.mp4", 1)
    seen = []
    made = student()
    made.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    infer(made, path)
    clip = read_clip(path, frames=4, size=16)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((clip / 255 - mean) / std).permute(3, 0, 1, 2)
    torch.testing.assert_close(seen[0][0], expected)


MICRO = {
    "tsn": {"width": 4},
    "tsm": {"width": 8},
    "c3d": {"width": 4},
    "slowonly": {"width": 4},
    "swin3d": {"width": 8, "blocks": 1},
    "vit": {"width": 16, "blocks": 1, "heads": 2, "patch": 8},
    "r2plus1d": {"width": 4, "stages": 2},
    "shufflenet3d": {"width": 12, "stem": 3, "units": 1, "pool": False, "time_stages": 1},
    "s3dg": {"width": 4, "blocks": 1, "strides": "small"},
    "slowfast": {"width": 8},
    "tpn": {"width": 4},
    "resnet_cifar": {"depth": 8, "width": 4},
    "wrn": {"depth": 10, "widen": 1, "stem": 4},
}


def test_a_student_may_have_any_network():
    assert set(models.names()) == MICRO.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", MICRO)
def test_the_loaded_network_can_be_exported_by_torch(name, tmp_path):
    torch.manual_seed(0)
    network = models.build(name, 3, **MICRO[name]).eval()
    made = Student(network, ("a", "b", "c"), Sampling("segments", 4), 32)
    loaded = load_student(save_student(made, tmp_path / "x.safetensors"))
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        expected = network(clips)
    program = torch.export.export(loaded.network, (clips,))
    torch.export.save(program, tmp_path / "x.pt2")
    again = torch.export.load(tmp_path / "x.pt2").module()
    other = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(clips), expected)
        assert torch.equal(again(other), network(other))
    assert torch.equal(loaded.network(clips), expected)  # tracing left nothing behind


def test_what_cannot_be_made_again_is_not_saved(tmp_path):
    path = tmp_path / "x.safetensors"
    changed = models.build("tsn", 3, width=4)
    changed.head.fc = nn.Linear(16, 3, bias=False)
    for network, message in (
        (kdlib.models.base.VideoModel(nn.Conv3d(3, 4, 3), 4, 3), "that kdlib.models.build did not"),
        (changed, "not the weights of this tsn: head.fc.bias is missing"),
    ):
        with pytest.raises(UserError, match=message):
            save_student(student(network=network), path)
    with pytest.raises(UserError, match=r"ends in \.safetensors, not 'x\.pt'"):
        save_student(student(), tmp_path / "x.pt")
    with pytest.raises(UserError, match="cannot be written"):
        save_student(student(), tmp_path / "none" / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b")}, "classes: 3 names, one for each logit"),
        ({"classes": "abc"}, "classes: 3 names"),
        ({"network": nn.Linear(3, 3)}, "a network of kdlib.models, not a Linear"),
    ],
)
def test_a_student_is_checked(changes, message):
    with pytest.raises(UserError, match=message):
        student(**changes)


def test_students_of_other_tasks_are_refused():
    network = models.build("s3dg", 3, sees="flow", width=4, blocks=1, strides="small")
    with pytest.raises(UserError, match="made for classification and sees flow"):
        student(network=network)
    network = student().network
    network.task = "detection"
    with pytest.raises(UserError, match="made for detection"):
        student(network=network)


def test_records_of_other_tasks_are_refused_by_key(make_spec):
    flow = DataSpec("generated/motion12", train=4, test=4, known=("flow",), task="flow")
    one = make_spec()
    for spec, last, message in (
        (replace(one, data=flow), {"score": 1.0}, "abc: its task is flow; only classifiers"),
        (replace(one, method=MethodSpec("rotnet")), {"validation_loss": 1.0}, "abc: rotnet trains"),
    ):
        with pytest.raises(UserError, match=message):
            student_of(SimpleNamespace(spec=spec, result={"last": last}, path=Path("abc")))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "x.mp4: "), (b"no video" * 100, "x.mp4: "), (None, "x.mp4: .*No such file")],
)
def test_what_is_no_video_is_one_line(content, message, tmp_path):
    if content is not None:
        (tmp_path / "x.mp4").write_bytes(content)
    for ask in (lambda p: infer(student(), p), lambda p: read_clip(p, frames=2, size=16)):
        with pytest.raises(UserError, match=message) as error:
            ask(tmp_path / "x.mp4")
        assert "\n" not in str(error.value)


def test_a_diverged_student_and_a_film_that_is_too_long(tmp_path, monkeypatch):
    path, made = film(tmp_path / "x.mp4", 1), student()
    monkeypatch.setattr("kdlib.runs.students._PIXELS", 11 * 16**2)
    with pytest.raises(UserError, match="12 frames at 16 pixels are too many; cut the action"):
        infer(made, path)
    assert infer(replace(made, at_most=11), path)
    monkeypatch.undo()
    nn.init.constant_(made.network.head.fc.weight, float("nan"))
    with pytest.raises(UserError, match="not finite; train it again"):
        infer(made, path)


@pytest.mark.slow
def test_keys_are_found_by_their_beginning(store, make_spec, planned, datasets):
    specs = [make_spec(seed) for seed in range(2)]
    run_all(planned(*specs)[0], store, datasets, device="cpu", jobs=1)
    keys = sorted(p.name for p in (store.root / "runs").iterdir())
    for key in keys:
        assert record_named(store, key).path.name == key
        assert record_named(store, key[:12]).path.name == key
    for name in ("none", "", "../" + keys[0], "*"):
        with pytest.raises(UserError, match=r"record: no key in .* begins with"):
            record_named(store, name)
    (store.root / "runs" / (keys[0][:-1] + "~")).mkdir()
    with pytest.raises(UserError, match=r"record: 2 keys begin with .*; give more of it"):
        record_named(store, keys[0][:-1])
    (store.root / "runs" / keys[0] / "result.json").write_text("{}")
    with pytest.raises(UserError, match="was damaged; run what made it again"):
        record_named(store, keys[0])
