"""Images in one file a part, such as CIFAR-100; the classes are the manifest's, by index."""

from kdlib.data import packed
from kdlib.data.layouts import Clip, Places
from kdlib.data.manifest import Manifest, PackedLayout
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: PackedLayout, places: Places, split: str) -> list[Clip]:
    """A sample an image, named "train/17" after its part and place."""
    found: list[Clip] = []
    for part, files in layout.files.items():
        file = next((name for name in files if (places.folder / name).is_file()), None)
        if file is None:
            raise UserError(f"{manifest.name}: no {' or '.join(files)} in {places.folder}")
        labels = packed.labels(places.folder / file)
        if not 0 <= labels.min() <= labels.max() < manifest.class_count:
            raise UserError(
                f"{places.folder / file}: labels {labels.min()} to {labels.max()}, but "
                f"{manifest.name} has {manifest.class_count} classes"
            )
        for index, label in enumerate(labels.tolist()):
            name = f"{part}/{index:05}"
            names = (_class_name(manifest, label),)
            found.append(Clip(name, part, names, name, file, frame=index))
    return found


def _class_name(manifest: Manifest, index: int) -> str:
    return manifest.classes[index] if isinstance(manifest.classes, tuple) else str(index)
