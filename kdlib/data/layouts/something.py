"""Something-Something's json lists; see `kdlib.data.manifest.SomethingLayout`."""

from kdlib.data import listfiles
from kdlib.data.layouts import Clip, Places
from kdlib.data.manifest import Manifest, SomethingLayout
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: SomethingLayout, places: Places, split: str) -> list[Clip]:
    """The clips of the lists. Their class is the template without the brackets in it."""
    found = []
    for part, file in layout.lists.items():
        path = places.find(manifest, file)
        items = listfiles.content(path)
        if not isinstance(items, list):
            raise UserError(f"{path}: not a list of clips")
        for place, item in enumerate(items):
            where = f"{path}, item {place}"
            fields = item if isinstance(item, dict) else {}
            video, template = fields.get("id"), fields.get("template")
            if not (isinstance(video, str | int) and isinstance(template, str)):
                raise UserError(f"{where}: no id and template")
            label = template.replace("[", "").replace("]", "").strip()
            if not label:
                raise UserError(f"{where}: an empty template")
            name = listfiles.clip_path(where, f"{video}{layout.suffix}")
            found.append(Clip(name, part, (label,), name, name))
    return found
