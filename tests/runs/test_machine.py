"""What a record says of the machine that trained it."""

import platform
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kdlib.runs import execute
from kdlib.runs.execute import environment, processor

MODEL = "Some Processor (R) of 2.40 GHz: revised"
LINES = f"processor\t: 0\nvendor_id\t: Some\nmodel name\t: {MODEL}\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """The file that stands for /proc/cpuinfo; the processor's own name is "some64"."""
    path = tmp_path / "cpuinfo"

    def found(name):
        return path if str(name) == "/proc/cpuinfo" else Path(name)

    monkeypatch.setattr(execute, "Path", found)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "some64")
    return path


def test_a_record_names_the_model_of_its_processor_and_its_day(cpuinfo):
    cpuinfo.write_text(2 * f"{LINES}\n")
    said = environment("cpu")
    assert (said["device"], said["device_type"]) == (MODEL, "cpu")
    finished = datetime.fromisoformat(said["finished"])
    assert abs(datetime.now(UTC) - finished) < timedelta(minutes=1)


def test_a_machine_that_does_not_say_is_named_by_its_kind(cpuinfo):
    assert processor() == "some64"
    cpuinfo.write_text("Hardware\t: some board\n")
    assert processor() == "some64"
