"""How notebooks open their chapter; the misspelt name is given to papermill itself."""

import json
import subprocess
import sys
from functools import partial

import pytest

from kdlib.errors import UserError
from kdlib.press.notebooks import parameters
from kdlib.study import opening
from kdlib.study.opening import PARAMETERS, check_names, open_chapter
from kdlib.study.setting import ROOT

NOTEBOOKS = sorted((ROOT / "book").glob("*/*.ipynb"))


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (['# Parameters\nprofil = "smoke"\n'], "profil"),
        (["", "seeds = 0", "# Parameters\nseeds = 3\nsede = 1", "sede = 2"], "sede"),
    ],
)
def test_a_name_that_no_notebook_has_is_refused(cells, name):
    with pytest.raises(UserError, match=f"parameter: unknown value '{name}'.*Did you mean"):
        check_names(cells)


@pytest.mark.parametrize(
    "cells",
    [
        [],
        ["profil = 1"],  # a name of the reader's own
        ["# Parameters\nprofile = 'smoke'\nseeds = 2"],
        ["# Parameters\nprofil = 'smoke'", "# Parameters\nprofile = 'smoke'"],  # mended by hand
    ],
)
def test_everything_else_passes(cells):
    check_names(cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_notebooks_have_these_parameters_and_open_their_chapter_in_one_line(path):
    assert tuple(parameters(path)) == PARAMETERS
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    line = f'chapter = open_chapter("{path.parent.name}", {", ".join(PARAMETERS)})'
    assert "".join(cells[1]["source"]).splitlines()[-1] == line


def test_a_real_set_that_the_chapter_does_not_read_is_refused(tmp_path, monkeypatch):
    given = {"profile": "smoke", "dataset": "cifar100", "data": str(tmp_path)}
    with pytest.raises(UserError, match="nothing reads cifar100 as image; resolution reads target"):
        open_chapter("resolution", **given)
    # Under `reproduce` another chapter may be who reads it.
    monkeypatch.setenv("KDLIB_TRAIN", "never")
    assert open_chapter("resolution", **given).roles == ("target",)


def test_what_the_library_warns_of_is_a_note_in_words_once(capsys):
    others = []
    said = partial(opening._shown, otherwise=lambda *given: others.append(given))
    for _ in range(2):
        said("two files\n  are left out", UserWarning, str(ROOT / "kdlib/data/real.py"), 9)
    said("deprecated", FutureWarning, "/else/where.py", 9, None, "x = 1")
    assert capsys.readouterr().out == "note: two files\n  are left out\n"
    assert others == [("deprecated", FutureWarning, "/else/where.py", 9, None, "x = 1")]


@pytest.mark.slow
def test_papermill_itself_is_stopped_by_a_misspelt_name(tmp_path):
    notebook = json.loads(NOTEBOOKS[0].read_text())
    notebook["cells"] = notebook["cells"][:3]
    (tmp_path / "in.ipynb").write_text(json.dumps(notebook))
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "profil", "smoke"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("kdlib: parameter: unknown value 'profil'")
    assert "Did you mean 'profile'?" in last
