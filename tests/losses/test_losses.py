"""`from kdlib.losses import kd_loss` finds the file by the name, and reads no other."""

import subprocess
import sys
from pathlib import Path

import pytest

import kdlib.losses
from kdlib.losses.kd import kd_loss

FILES = sorted(p.stem for p in Path(kdlib.losses.__file__).parent.glob("*.py"))
NAMES = [name for name in FILES if name != "__init__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_holds_the_loss_of_its_name(name):
    found = getattr(kdlib.losses, f"{name}_loss")
    assert found.__module__ == f"kdlib.losses.{name}"
    assert found.__doc__


def test_dir_lists_all_losses():
    listed = [name for name in dir(kdlib.losses) if name.endswith("_loss")]
    assert listed == [f"{name}_loss" for name in NAMES]


def test_it_is_the_same_function():
    from kdlib.losses import kd_loss as again

    assert again is kd_loss


def test_a_typo_names_the_nearest():
    with pytest.raises(AttributeError, match="no 'dkd_los'; did you mean 'dkd_loss'"):
        kdlib.losses.dkd_los  # noqa: B018
    with pytest.raises(AttributeError, match="it has aekd_loss, dkd_loss"):
        kdlib.losses.zzz  # noqa: B018
    with pytest.raises(ImportError, match="dkd_los"):
        from kdlib.losses import dkd_los  # noqa: F401


@pytest.mark.slow
def test_only_what_is_asked_for_is_imported():
    code = """
import sys, kdlib.losses
dir(kdlib.losses)
print([m for m in sys.modules if m.startswith("kdlib.losses.")])
from kdlib.losses import sinkhorn_loss
print(sorted(m for m in sys.modules if m.startswith("kdlib.losses.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['kdlib.losses.kd', 'kdlib.losses.sinkhorn']"]
