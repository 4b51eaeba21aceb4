"""Kinetics' csv lists of ten seconds of a video each; see `kdlib.data.manifest.KineticsLayout`."""

from kdlib.data import listfiles
from kdlib.data.layouts import Clip, Places
from kdlib.data.listing import Listing
from kdlib.data.manifest import KineticsLayout, Manifest, Part
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: KineticsLayout, places: Places, split: str) -> list[Clip]:
    """The clips of the lists, or of the ids among them; a group is the video they are cut from."""
    listing = Listing(places.folder)
    found = []
    for part, file in layout.lists.items():
        path = places.find(manifest, file)
        ids = _ids(manifest, layout, places, part)
        for number, row in listfiles.rows(path, ("label", "youtube_id", "time_start", "time_end")):
            where = f"{path}, line {number}"
            video = row["youtube_id"]
            if ids is not None and video not in ids:
                continue
            values = {
                "{label}": row["label"],
                "{id}": video,
                "{start}": _six_digits(where, row["time_start"]),
                "{end}": _six_digits(where, row["time_end"]),
            }
            if not (row["label"] and video):
                raise UserError(f"{where}: no label or no youtube_id")
            stated = [_filled(where, place, values) for place in layout.places[part]]
            there = next((place for place in stated if listing.has(place)), stated[0])
            name = f"{video}_{values['{start}']}_{values['{end}']}"
            found.append(Clip(name, part, (row["label"],), video, there))
    return found


def _ids(
    manifest: Manifest, layout: KineticsLayout, places: Places, part: Part
) -> frozenset[str] | None:
    if part not in layout.ids:
        return None
    return frozenset(id_ for _, id_ in listfiles.lines(places.find(manifest, layout.ids[part])))


def _six_digits(where: str, seconds: str) -> str:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6):
        raise UserError(f"{where}: {seconds!r} is no time in whole seconds")
    return f"{int(seconds):06}"


def _filled(where: str, place: str, values: dict[str, str]) -> str:
    for field, value in values.items():
        place = place.replace(field, value)
    return listfiles.clip_path(where, place)
