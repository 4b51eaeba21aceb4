import os
import signal
import subprocess
import sys
import threading

import pytest

from kdlib.runs.signals import as_interrupts, withheld


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_program_is_an_interrupt_while_it_lasts(number):
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores one of them
    try:
        with pytest.raises(KeyboardInterrupt) as stop, as_interrupts():
            os.kill(os.getpid(), number)
        assert stop.value.args == (number,)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_leave_signals_alone():
    found = []

    def look():
        with as_interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_processes_of_ours_are_stopped_by_us_alone():
    """Not even in the moment before their first line."""
    waits = [sys.executable, "-c", "input(); print('alive')"]
    with withheld():
        process = subprocess.Popen(
            waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert process.communicate("\n", timeout=30) == ("alive\n", "")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
