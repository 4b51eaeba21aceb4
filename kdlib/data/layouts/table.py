"""A CSV table with a row a clip; see `kdlib.data.manifest.TableLayout`."""

from pathlib import PurePosixPath

from kdlib.data import listfiles
from kdlib.data.layouts import Clip, Places
from kdlib.data.manifest import Manifest, TableLayout
from kdlib.data.splits import PARTS
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: TableLayout, places: Places, split: str) -> list[Clip]:
    """The clips whose split column names a part."""
    table = places.find(manifest, layout.table)
    columns = [c for c in (layout.path, layout.label, layout.group, split) if c]
    found, names = [], set()
    for number, row in listfiles.rows(table, columns):
        where = f"{table}, line {number}"
        part = row[split]
        if part in layout.left_out:
            continue
        if part not in PARTS:
            raise UserError(
                f"{where}: {split} is {part!r}; it must be one of "
                f"{', '.join((*PARTS, *layout.left_out))}"
            )
        path = PurePosixPath(listfiles.clip_path(where, row[layout.path]))
        name = str(path.with_suffix(layout.suffix) if layout.suffix else path)
        if name in names:
            raise UserError(f"{table}: {name} stands in more than one row")
        names.add(name)
        label = row[layout.label] if layout.label else path.parent.name
        labels: tuple[str, ...] = (label,)
        if manifest.task == "multi-label":
            labels = tuple(dict.fromkeys(word for x in label.split(";") if (word := x.strip())))
        if not all(labels) or not labels:
            raise UserError(f"{where}: no class")
        found.append(Clip(name, part, labels, row[layout.group] if layout.group else name, name))
    return found
