import warnings

from kdlib.notes import note, note_warning


def test_a_note_is_a_line_and_a_warning_one_too_but_once(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", note_warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for _ in range(2):
            warnings.warn("told once", stacklevel=1)
    for _ in range(2):
        note("told twice")
    said = capsys.readouterr().err.splitlines()
    assert said == ["kdlib: note: told once", *["kdlib: note: told twice"] * 2]
