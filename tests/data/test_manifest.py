import contextlib
import copy
import os
import tracemalloc
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from kdlib.data import manifest as module
from kdlib.data.generated import TASKS
from kdlib.data.manifest import Manifest, generated_names, inside, load, names
from kdlib.errors import UserError

OWN = {
    "name": "mine",
    "title": "Mine",
    "classes": ["jump", "wave"],
    "files": {"folder": "clips"},
    "layout": {"kind": "folders"},
}


@pytest.fixture
def own(tmp_path):
    """Load the manifest above after a change made to it."""

    def changed(change):
        content = copy.deepcopy(OWN)
        change(content)
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        return load(path)

    return changed


@pytest.mark.parametrize("name", names())
def test_every_shipped_manifest_loads_and_bears_its_name_and_source(name):
    manifest = load(name)
    assert manifest.name == name
    assert manifest.homepage.startswith(("http://", "https://"))
    assert manifest.citation
    assert manifest.terms
    assert manifest.obtain
    assert manifest.official
    assert manifest.access == ("open" if manifest.downloads else "form")


def test_the_data_sets_of_the_papers_have_manifests():
    wanted = {"ucf101", "hmdb51", "jhmdb21", "kinetics400", "mini_kinetics200", "ssv2"}
    assert {*wanted, "activitynet", "fcvid", "ava", "cifar100", "imagenet"} == set(names())


def test_the_generated_sets_have_manifests_with_the_generator_s_classes():
    assert generated_names() == sorted(f"generated/{task}" for task in TASKS)
    for name in generated_names():
        manifest = load(name)
        assert (manifest.name, manifest.access) == (name, "made")
        assert manifest.classes == TASKS[name.removeprefix("generated/")]


@pytest.mark.parametrize(
    ("name", "classes"),
    [("ucf101", 101), ("hmdb51", 51), ("kinetics400", 400), ("ssv2", 174), ("cifar100", 100)],
)
def test_class_counts(name, classes):
    assert load(name).class_count == classes


def test_jhmdb21():
    manifest = load("jhmdb21")
    assert len(manifest.classes) == 21
    assert next(iter(manifest.splits)) == "split1_titlesafe"
    assert manifest.splits["hmdb_split1"] == {"train": 667, "test": 257}


def test_a_minimal_manifest_of_ones_own(own):
    manifest = own(lambda content: None)
    assert manifest.classes == ("jump", "wave")
    assert manifest.splits == {}
    assert manifest.mirror
    assert not own(lambda content: content.update(mirror=False)).mirror


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(clases=[]), r"clases: unknown key. Did you mean 'classes'\?"),
        (lambda m: m["files"].update(foldr="x"), r"files.foldr: unknown key.*'folder'"),
        (lambda m: m["layout"].update(grup="x"), r"layout.grup: unknown key.*'group'"),
        (lambda m: m["layout"].update(kind="flat"), "layout: .*'table', 'folders'"),
        (lambda m: m.pop("title"), "title: Field required"),
        (lambda m: m.update(classes=["a", "a"]), "a name stands twice"),
        (lambda m: m.update(classes=["yes", True]), "classes.1: no text to YAML .*; quote it"),
        (lambda m: m.update(title=3), "title: no text to YAML .*; quote it"),
        (lambda m: m.update(splits={1: {"train": 3}}), "the key 1 is no text to YAML; quote it"),
        (lambda m: m.update(folder="clips"), "folder: .*it belongs under files:"),
        (lambda m: m.update(kind="folders"), "kind: .*it belongs under layout:"),
        (lambda m: m.update(url="https://x"), "url: .*it belongs under downloads:"),
        (lambda m: m["layout"].update(title="x"), "layout.title: .*it belongs at the top"),
        (lambda m: m["layout"].update(table="x"), "layout.table: .*layout: of kind table"),
        (lambda m: m["layout"].update(group="("), "layout.group: no regular expression: missing"),
        (lambda m: m["layout"].update({"class": "[a"}), "layout.class: no regular expression"),
        (lambda m: m["layout"].update({"class_": "a"}), r"layout.class_: .*'class'\?"),
        (lambda m: m["layout"].update(group="a" * 501), "layout.group: .*at most 500"),
        (lambda m: m["layout"].update(group="((a{99}){99}){99}"), "layout.group: .*more than 1000"),
        (lambda m: m.update(validation=1.5), "validation: .*less than 1"),
        (lambda m: m.update(splits={"one": {"training": 3}}), "splits.one.training"),
        (lambda m: m.update(layout={"kind": "table", "table": "t.csv"}), "at least one column"),
        (lambda m: m["files"].update(folder="../x"), "files.folder: .*without '..'"),
        (lambda m: m["files"].update(archive="/x.tar"), "files.archive: .*relative"),
        (
            lambda m: m.update(downloads=[{"url": "https://x", "path": "../x"}]),
            r"downloads\.0\.path: .*without '..'",
        ),
        (lambda m: m.update(name="../mine"), "name: .*pattern"),
        (lambda m: m.update(name="/elsewhere"), "name: '/elsewhere' must be a relative path"),
        (lambda m: m.update(name="yours"), "name: 'yours' is not that of its file, 'mine'"),
        (lambda m: m.update(name="a/mine"), "name: 'a/mine' is not that of its file, 'mine'"),
        (lambda m: m["files"].update(folder="a\0b"), "files.folder: .*zero byte"),
        (
            lambda m: m["layout"].update(kind="something", lists={}, suffix="/../../x"),
            "layout.suffix: .*pattern",
        ),
        (lambda m: m.update(mirror="no"), "mirror: .*valid boolean"),
    ],
)
def test_a_fault_is_named_with_its_key_and_file(own, change, message):
    with pytest.raises(UserError, match=rf"mine\.yaml, line [0-9]+: .*{message}") as caught:
        own(change)
    assert "\n" not in str(caught.value)


def test_what_is_no_manifest(tmp_path):
    with pytest.raises(UserError, match=r"data set: unknown value 'jhmdb'.*'jhmdb21'"):
        load("jhmdb")
    with pytest.raises(UserError, match=r"absent\.yaml.*No such file"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "a.yaml").write_text("- just\n- a list\n")
    with pytest.raises(UserError, match="not a mapping"):
        load(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("name: [unclosed\n")
    with pytest.raises(UserError, match=r"b\.yaml.*line"):
        load(tmp_path / "b.yaml")
    # Tags that would build Python objects are refused.
    (tmp_path / "c.yaml").write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="could not determine a constructor"):
        load(tmp_path / "c.yaml")


HUGE = {
    "brackets": "a: " + "[" * 50_000,
    "braces": "a: " + "{a: " * 50_000,
    "dashes": "- " * 50_000,
    "entries": "a: [" + "[]," * 300_000 + "]",
    "bytes": "a: " + "x" * 1_000_001,
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_what_is_too_deep_or_too_much_is_refused_before_it_is_read(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"mine\.yaml: (more than 20 levels|larger than)"):
            load(tmp_path / "mine.yaml")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["? [a]\n", "yes", "null", "2020-01-01", "1.5", "<<"])
def test_keys_that_are_no_words(tmp_path, key):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(OWN) + f"{key}: x\n")
    with pytest.raises(UserError, match=r"mine\.yaml, line \d+: .*(quote it|must be a word)"):
        load(path)


def test_a_pipe_is_no_manifest(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(UserError, match="not a plain file"):
        load(tmp_path / "mine.yaml")


OUTSIDE = ["", "/a", "../a", "a/../../b", "a\\..\\..\\b", "\\a", "\\\\host\\a", "C:/a", "C:a", "."]


@pytest.mark.parametrize("path", OUTSIDE)
def test_paths_that_lead_outside(path):
    with pytest.raises(ValueError, match="relative"):
        inside(path)


# The texts of a manifest that are no paths: titles, names of columns and classes, patterns.
NO_PATHS = {
    *("Manifest.title", "Manifest.homepage", "Manifest.citation", "Manifest.terms"),
    *("Manifest.obtain", "Manifest.notes", "Manifest.classes"),
    *("TableLayout.path", "TableLayout.label", "TableLayout.group", "TableLayout.left_out"),
    *("FoldersLayout.group", "FoldersLayout.class_", "ListsLayout.group", "ListsLayout.class_"),
    *("ClassListsLayout.group", "ActivityNetLayout.parts"),
}


def filled(kind, text):
    """A value of a type with this text wherever one may stand; None for types without."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is str:
        return text
    if origin in (Annotated, Union, UnionType):
        return next((found for x in arguments if (found := filled(x, text)) is not None), None)
    if origin not in (tuple, Mapping):
        return None
    key, value = arguments if origin is Mapping else (None, arguments[0])
    inner = filled(value, text)
    if inner is None or key is None:
        return inner and [inner, inner]
    return {"a" if key is str else get_args(key)[0]: inner}


def accepting(text):
    """The fields of a manifest, of whatever kind of layout, that may hold this text."""
    found = set()
    for model in module.Strict.__subclasses__():
        for name, field in model.model_fields.items():
            value = filled(field.annotation, text)
            with contextlib.suppress(ValidationError):
                if value is not None:
                    checked = Annotated[field.annotation, None, *field.metadata]
                    TypeAdapter(checked).validate_python(value)
                    found.add(f"{model.__name__}.{name}")
    return found


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
def test_no_path_of_a_manifest_leads_outside(path):
    """Whoever adds a text to a manifest says here that it is none, or gives it `RelativePath`."""
    assert accepting(path) == NO_PATHS


def test_all_paths_of_a_manifest_may_lead_inside():
    paths = accepting("a/b") - NO_PATHS - {"Manifest.name"}
    assert paths == {
        *("Files.folder", "Files.archive", "Download.path", "TableLayout.table"),
        *("FoldersLayout.parts", "ListsLayout.lists", "ClassListsLayout.lists"),
        *("KineticsLayout.lists", "KineticsLayout.ids", "KineticsLayout.places"),
        *("SomethingLayout.lists", "ActivityNetLayout.file", "PackedLayout.files"),
        *("AvaLayout.lists", "AvaLayout.actions", "AvaLayout.excluded", "AvaLayout.proposals"),
    }


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"])
def test_what_no_disk_can_name_is_no_path(path):
    with pytest.raises(ValueError, match=r"zero byte|surrogates"):
        inside(path)


@pytest.mark.parametrize("name", [*OUTSIDE, "a b", "A", "a.b", "a\n"])
def test_a_name_that_is_none(name):
    with pytest.raises(ValueError, match="name"):
        Manifest.model_validate({**OWN, "name": name, "classes": ("jump", "wave")})


def test_the_folder_of_a_shipped_manifest_belongs_to_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MANIFESTS", tmp_path)
    (tmp_path / "generated").mkdir()
    path = tmp_path / "generated/x.yaml"
    path.write_text(yaml.safe_dump({**OWN, "name": "generated/x"}))
    assert load("generated/x") == load(path)
    path.write_text(yaml.safe_dump({**OWN, "name": "x"}))
    with pytest.raises(UserError, match="name: 'x' is not that of its file, 'generated/x'"):
        load("generated/x")


def test_mirroring_changes_labels_where_left_and_right_are_classes():
    assert [name for name in names() if not load(name).mirror] == ["ssv2"]
    assert not any(load(name).mirror for name in generated_names())


def test_paths_inside():
    for path in ("a", "a/b!(c);[d]@.mp4", "a..b/c"):
        assert inside(path) == path
