"""What `benchmarks.fuzz` tries: all readers of files, caches and values, each with whole ones."""

import io
import json
import pickle
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from benchmarks.fuzz import Target
from kdlib import cli, models
from kdlib.cli import make
from kdlib.clips.sampling import Sampling
from kdlib.data import archive, ava, listfiles, manifest, packed, real, safe_pickle
from kdlib.data.cache import How, Source, frame_cache
from kdlib.data.decode import decode
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated.store import stored_videos
from kdlib.data.images import decode_image
from kdlib.press import notebooks, reference, site
from kdlib.runs.spec import RunSpec, parse
from kdlib.runs.store import RunStore
from kdlib.runs.student_files import load_student, save_student
from kdlib.runs.students import Student
from kdlib.study import claims
from kdlib.study.published import read_table
from kdlib.study.seal import seal, unseal
from kdlib.study.setting import ROOT
from kdlib.training import checkpoint

KEY = "0123456789abcdef01234567"
MINE = b"""\
name: mine
title: Waving and jumping
classes: [jump, wave]
files: {folder: clips}
media: images
layout: {kind: table, table: table.csv, label: label, group: scene}
splits: {split: {train: 2, validation: 2, test: 2}}
"""
PARTS = ("train", "validation", "test")
TABLE = b"path,label,scene,split\n" + b"".join(
    f"{n}.png,{'jump' if n % 2 else 'wave'},s{n},{PARTS[n // 2]}\n".encode() for n in range(6)
)
LIST = b"ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nArchery/v_Archery_g01_c02.avi 2\n"
ACTORS = b"-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n-5KQ66BBWC4,0903,0.1,0.2,0.9,0.8,9,1\n"
ACTIONS = b'item {\n  name: "bend/bow (at the waist)"\n  id: 3\n}\nlabel { name: "x" label_id: 1 }'
KINETICS = b"label,youtube_id,time_start,time_end,split\njump,abc-_123456,3,13,train\n"
FRONT = b"---\norder: 3\n---\n# A chapter\n"
SETTINGS = b"smoke|target:jhmdb21,hmdb51|3|cpu|2|SEEDS PROFILE"


def targets() -> list[Target]:
    """All of them."""
    return [*_texts(), *_binaries(), *_media(), *_made()]


def _file(name: str, content: bytes, read: Callable[[Path], Any], **more: Any) -> Target:
    """One file of this name."""
    return Target(name, {name: content}, lambda folder: read(folder / name), **more)


def _texts() -> Iterator[Target]:
    shipped = ("ucf101", "kinetics400", "ava", "cifar100")
    for name in shipped:
        text = (manifest.MANIFESTS / f"{name}.yaml").read_bytes()[:20_000]
        yield _file(f"{name}.yaml", text, manifest.load, share=0.5)
    yield _file("mine.yaml", MINE, manifest.load)
    yield _file("list.txt", LIST, lambda path: list(listfiles.lines(path)), share=0.5)
    yield _file("kinetics.csv", KINETICS, lambda path: list(listfiles.rows(path, ("label",))))
    yield _file("bare.csv", ACTORS, lambda path: list(listfiles.bare_rows(path)), share=0.5)
    yield _file("list.json", b'[{"id": "1", "template": "Moving [x]"}]', listfiles.content)
    yield _file("actors.csv", ACTORS, ava.read_boxes)
    yield _file("times.csv", b"-5KQ66BBWC4,0902\nx,1000\n", ava.read_times, share=0.5)
    yield _file("actions.pbtxt", ACTIONS, ava.read_actions)
    text = (ROOT / "book/resolution/claims.toml").read_bytes()
    yield _file("claims.toml", text, claims.read)
    text = (ROOT / "book/adaptive/published/table-04.csv").read_bytes()
    yield _file("published.csv", text, read_table)
    yield _file(
        "index.md", FRONT, lambda path: site.ordered(path.parent.parent, [path.parent.name])
    )
    about = b'{"profile": "gpu", "data": {"image": "cifar100"}, "machine": "m", "date": "d"}'
    yield _file("about.json", about, reference._parsed, share=0.5)
    text = (ROOT / "book/resolution/01-seeing-less.ipynb").read_bytes()
    yield _file("lesson.ipynb", text, partial(notebooks.check_parameters, given=["profile"]))
    yield _file("executed.ipynb", text, partial(notebooks.fresh, key="k"), same=lambda x: not x)
    yield _file("setting.txt", SETTINGS, _settings)
    yield _file("spec.json", _spec(), _parse_spec, share=2.0)


def _settings(path: Path) -> None:
    words = path.read_bytes().decode("utf-8", "surrogateescape").split("|")
    given = dict(zip(("profile", "dataset", "seeds", "device", "jobs"), words, strict=False))
    names = {f"KDLIB_{name.upper()}": value for name, value in given.items()}
    make.arguments({"KDLIB_GIVEN": words[-1], **names})
    cli._setting({**given, "data": str(path.parent)})


@cache
def _spec() -> bytes:
    def plain(**more: Any) -> dict[str, Any]:
        data = {"name": "generated/detail12", "train": 32, "test": 24, "frames": 2, "size": 16}
        recipe = {"epochs": 2, "learning_rate": 0.001, "batch_size": 16}
        return {"data": data, "model": {"name": "tsn"}, "recipe": recipe, **more}

    method = {"name": "resolution", "teachers": [plain()], "options": {"resolution": 8}}
    return json.dumps(plain(method=method, start={"run": plain(), "part": "all"})).encode()


def _parse_spec(path: Path) -> None:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # a spec is plain data; who reads its file is tried elsewhere
    parse(RunSpec, content)


def _binaries() -> Iterator[Target]:
    rows = {"a.tar": "w", "a.tar.gz": "w:gz", "a.tar.xz": "w:xz"}
    for name, mode in rows.items():
        packed_up = io.BytesIO()
        with tarfile.open(fileobj=packed_up, mode=mode) as tar:  # type: ignore[call-overload]
            for member in ("set/train/a.png", "set/test/b.png"):
                info = tarfile.TarInfo(member)
                info.size = 500
                tar.addfile(info, io.BytesIO(bytes(range(250)) * 2))
        yield _file(name, packed_up.getvalue(), _unpack)
    packed_up = io.BytesIO()
    with zipfile.ZipFile(packed_up, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("set/train/a.png", bytes(500))
        zipped.writestr("set/test/b.png", b"b" * 500)
    yield _file("a.zip", packed_up.getvalue(), _unpack)
    draw = np.random.default_rng(0)
    cifar = {
        b"data": draw.integers(0, 256, (8, 3072), np.uint8),
        b"fine_labels": list(range(8)),
        b"filenames": [b"a.png"] * 8,
    }
    for protocol in (0, 2, 4):
        content = pickle.dumps(cifar, protocol)
        yield _file(f"cifar-{protocol}", content, safe_pickle.load, share=0.7)
        yield _file(f"train-{protocol}", content, packed.images, share=0.3)
    boxes = {"film,0902": draw.random((3, 5))}
    yield _file("proposals.pkl", pickle.dumps(boxes, 2), ava.read_proposals, share=0.5)
    arrays = {"x": draw.integers(0, 256, (6, 8, 8, 3), np.uint8), "y": np.arange(6)}
    webp = [_image(index, "webp", (16, 16)) for index in range(6)]
    ends = np.cumsum([0, *map(len, webp)])
    webps = {"webp": np.frombuffer(b"".join(webp), np.uint8), "offset": ends, "y": np.arange(6)}
    for name, content in (("x.npz", arrays), ("webp.npz", webps)):
        stored = io.BytesIO()
        np.savez(stored, **content)  # type: ignore[arg-type]
        yield _file(name, stored.getvalue(), _packed, same=partial(_equal, content))


def _unpack(path: Path) -> None:
    archive.unpack(path, path.parent / "unpacked")


def _packed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return packed.images(path), packed.labels(path)


def _equal(whole: dict[str, np.ndarray], found: tuple[np.ndarray, np.ndarray]) -> bool:
    """Archives have checksums: what is read is as it was, in pixels where they are stored."""
    pixels = "x" not in whole or np.array_equal(found[0], whole["x"])
    return pixels and np.array_equal(found[1], whole["y"])


def _image(seed: int, kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, kind)
    return stored.getvalue()


def _media() -> Iterator[Target]:
    for kind in ("png", "jpeg", "webp", "bmp"):
        read = partial(decode_image, size=16)
        yield _file(f"a.{kind}", _image(0, kind), read, share=0.7)
    for kind, codec in (("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "libx264"), ("webm", "vp9")):
        yield _file(f"a.{kind}", _video(kind, codec), partial(decode, size=16), share=0.7)
    files = {f"mine/clips/{n}.png": _image(n, "png", (24, 20)) for n in range(6)}
    files |= {"mine/table.csv": TABLE, "mine.yaml": MINE}
    yield Target("a whole set", files, _read_set, share=0.5)


def _video(kind: str, codec: str) -> bytes:
    stored = io.BytesIO()
    with av.open(stored, "w", format={"mkv": "matroska"}.get(kind, kind)) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            pixels = np.full((48, 64, 3), number * 30, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return stored.getvalue()


def _read_set(folder: Path) -> None:
    described = manifest.load(folder / "mine.yaml")
    real.read(described, folder, cache_root=folder / "cache", height=16, width=16)


def _made() -> Iterator[Target]:
    """What this project writes itself, under checksums: changed, it is refused or made again."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        texts = {"spec.json": _spec().decode(), "env.json": "{}", "metrics.jsonl": ""}
        texts["result.json"] = json.dumps({"last": {"score": 0.5}, "classes": ["a", "b"]})
        state = {"w": torch.ones(20)}
        traces = {"labels": np.arange(8)}
        RunStore(root).write(KEY, texts=texts, traces=traces, student=state, own=state)
        yield Target("a record", _files(root, "runs/**/*"), _find, same=_is_record)
        checkpoint.save(root / f"{KEY}.pt", {"epoch": 3, "w": torch.ones(20)}, KEY)
        yield Target("a checkpoint", _files(root, "*.pt"), _load, same=_is_checkpoint)
        _exported(root / "student.safetensors")
        yield Target("a student", _files(root, "student.*"), _student, same=_is_student)
        (root / "t.csv").write_text("a,b\n1,2\n")
        seal(root / "t.json", [root / "t.csv"], {"runs": [KEY]})
        yield Target("a seal", _files(root, "t.*"), _unseal, same=_is_seal)
        clips = _generated(root)
        yield Target(
            "generated clips", _files(root, "generated/*/*"), _generated,
            same=partial(_is_same, clips), share=0.4,
        )  # fmt: skip
        (root / "a.mp4").write_bytes(_video("mp4", "libx264"))
        frames = _frames(root)
        kept = {n: c for n, c in _files(root, "**/*").items() if n[:6] == "cache/" or n == "a.mp4"}
        mutable = tuple(name for name in kept if "frames" in name)
        yield Target(
            "decoded frames", kept, _frames, mutable, partial(np.array_equal, frames), share=0.4
        )


def _files(root: Path, pattern: str) -> dict[str, bytes]:
    found = (path for path in sorted(root.glob(pattern)) if path.is_file())
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in found
        if path.suffix != ".lock"
    }


def _find(folder: Path) -> tuple[Any, ...] | None:
    record = RunStore(folder).find(KEY)
    return record and (record.spec, record.result, record.traces["labels"].tolist())


def _is_record(found: tuple[Any, ...] | None) -> bool:
    return found is None or found[1:] == (
        {"last": {"score": 0.5}, "classes": ["a", "b"]}, list(range(8)),
    )  # fmt: skip


def _student(folder: Path) -> tuple[Any, ...]:
    found = load_student(folder / "student.safetensors")
    return found.classes, found.size, found.network.state_dict()["head.fc.bias"].tolist()


def _is_student(found: tuple[Any, ...]) -> bool:
    return found == (("jump", "wave"), 16, [0.5, 0.25])


def _exported(path: Path) -> None:
    network = models.build("tsn", 2, width=4)
    with torch.no_grad():
        network.head.fc.bias.copy_(torch.tensor([0.5, 0.25]))
    save_student(Student(network, ("jump", "wave"), Sampling(frames=2), 16), path)


def _load(folder: Path) -> dict[str, Any] | None:
    return checkpoint.load(folder / f"{KEY}.pt", KEY, torch.device("cpu"))


def _is_checkpoint(found: dict[str, Any] | None) -> bool:
    return found is None or (found["epoch"] == 3 and bool((found["w"] == 1).all()))


def _unseal(folder: Path) -> dict[str, Any] | None:
    return unseal(folder / "t.json")


def _is_seal(found: dict[str, Any] | None) -> bool:
    return found is None or found["runs"] == [KEY]


def _generated(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    spec = GeneratedSpec("mix12", 0, frames=2, size=16)
    videos = stored_videos(folder / "generated", spec, "train", 4)
    return np.array(videos.frames), videos.labels


def _is_same(whole: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(whole, found, strict=True))


def _frames(folder: Path) -> np.ndarray:
    made = frame_cache(folder / "cache", "mine", {"a": Source(folder / "a.mp4")}, How(16, 16))
    return np.array(made.frames[made.starts[0] : made.starts[0] + made.lengths[0]])
