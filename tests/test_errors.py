import errno

import pytest

from kdlib.errors import UserError, plain, unknown


def test_what_an_error_quotes_stays_on_its_line_and_says_nothing_to_a_terminal():
    error = UserError("file: 'a\nb\x1b[2J\r\u2028\udce9\x85é' is none")
    assert str(error) == "file: 'a\\nb\\x1b[2J\\r\\u2028\\udce9\\x85é' is none"
    str(unknown("x\n", "y\0", ["z\n"])).encode()
    assert error._render_traceback_() == [f"kdlib: {error}"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOENT, "No such file", "a"), "a: No such file"),
        (OSError(errno.EINVAL, "Invalid argument"), "Invalid argument"),
        (OSError("5 requested and\n3 written"), "5 requested and 3 written"),
        (OSError(), "OSError"),
    ],
)
def test_what_the_system_refused_is_never_without_content(error, words):
    assert plain(error) == words
