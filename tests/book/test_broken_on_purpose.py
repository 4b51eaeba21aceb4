"""Every planted fault turns its check red, and on sound code every check is green."""

import pytest

from book.faults import faults, table

FAULTS = {fault.name: fault for fault in faults()}


@pytest.mark.parametrize("name", FAULTS)
def test_a_check_passes_on_sound_code_and_fails_under_its_fault(name):
    fault = FAULTS[name]
    assert fault.check()
    with fault.plant():
        assert not fault.check()
    assert fault.check(), "the fault is gone"


def test_at_least_five_faults_of_different_kinds():
    assert len(FAULTS) >= 5
    assert len({fault.check for fault in FAULTS.values()}) == len(FAULTS)


def test_the_table_of_the_book():
    found = table()
    assert list(found["fault"]) == list(FAULTS)
    assert set(found["sound"]) == {"passes"}
    assert set(found["broken"]) == {"fails"}
