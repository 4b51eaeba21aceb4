import dataclasses

import pytest
import torch

from kdlib.errors import UserError
from kdlib.study.setting import PROFILES, Setting


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"profile": "laptap"}, "PROFILE: unknown value 'laptap'.*Did you mean 'laptop'"),
        ({"device": "gpu"}, "DEVICE: unknown value 'gpu'; allowed: cpu, cuda"),
        ({"seeds": -1}, "SEEDS: a whole number from 0 up, not -1"),
        ({"seeds": "five"}, "SEEDS: .*'five'"),
        ({"jobs": 0}, "JOBS: a whole number from 1 up, not 0"),
        ({"jobs": True}, "JOBS"),
        ({"seeds": 10**12}, "SEEDS: at most 1000, not 1000000000000"),
        ({"jobs": 10**12}, "JOBS: at most 1024"),
        ({"dataset": "jhmdb"}, "DATASET: unknown value 'jhmdb'.*Did you mean 'jhmdb21'"),
        ({"dataset": "traget:jhmdb21"}, "DATASET role.*Did you mean 'target'"),
        ({"dataset": "jhmdb21"}, "DATA: name the folder"),
        ({"dataset": "jhmdb21", "data": "nowhere"}, "DATA: there is no folder 'nowhere'"),
    ],
)
def test_faults_are_named_in_one_line(fault, message):
    with pytest.raises(UserError, match=message) as caught:
        Setting(**fault)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no CUDA device"):
        Setting(device="cuda")


def test_roles(tmp_path):
    setting = Setting(dataset="target:jhmdb21,shifted:jhmdb21", data=str(tmp_path))
    assert setting.roles == {"target": "jhmdb21", "shifted": "jhmdb21"}
    assert Setting(dataset="jhmdb21", data=str(tmp_path)).roles == {"target": "jhmdb21"}
    assert setting.data_name == "target=jhmdb21+shifted=jhmdb21"


def test_seeds_come_from_the_profile_unless_given():
    laptop = Setting()
    assert laptop.headline == (0, 1, 2, 3, 4)
    assert laptop.claimed == (0, 1, 2)
    assert laptop.others == (0,)
    assert dataclasses.replace(laptop, seeds=2).others == (0, 1)


def test_only_smoke_is_no_evidence():
    assert {name for name, profile in PROFILES.items() if not profile.evidence} == {"smoke"}
    assert "no evidence" in Setting(profile="smoke").stamp
    assert "evidence" not in Setting().stamp


def test_folders_come_from_the_environment_unless_given(monkeypatch, tmp_path):
    monkeypatch.setenv("KDLIB_STORE", str(tmp_path / "s"))
    monkeypatch.setenv("KDLIB_RESULTS", str(tmp_path / "r"))
    assert Setting().run_store.root == tmp_path / "s"
    assert Setting().folder == tmp_path / "r/laptop/generated"
    assert Setting(results=str(tmp_path / "x")).folder == tmp_path / "x/laptop/generated"
