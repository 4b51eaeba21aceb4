"""What stops a program: SIGTERM and a closed terminal, as Ctrl-C, and whom it stops."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, whose argument is their number, as Ctrl-C does.

    A signal that is ignored stays so (nohup), and all of them where this is not the main thread.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    main = threading.current_thread() is threading.main_thread()
    kept = [one for one in _STOPPING if main and signal.getsignal(one) is signal.SIG_DFL]
    for one in kept:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in kept:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def withheld() -> Iterator[None]:
    """Processes started now never get these signals, from their first moment: who starts them
    decides when they end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *_STOPPING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
