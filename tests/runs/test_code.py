import pytest

from kdlib.runs import code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `kdlib` of two modules, and a function that rewrites one and hashes the other."""
    folder = tmp_path / "kdlib"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "main.py").write_text("from kdlib.helper import f\nx = f(1)\n")
    monkeypatch.setattr(code, "PACKAGE", folder)

    def hashed(helper: str) -> str:
        (folder / "helper.py").write_text(helper)
        for function in (code._parse, code._tree, code._imports):
            function.cache_clear()
        return code.code_hash(["kdlib.main"])

    yield hashed
    for function in (code._parse, code._tree, code._imports):
        function.cache_clear()


def test_prose_does_not_change_the_hash(package):
    plain = package("def f(x):\n    return x\n")
    assert package('"""Doc."""\n# why\ndef f(x):\n    """Doc."""\n\n    return x  # so\n') == plain


def test_code_of_an_imported_module_does(package):
    assert package("def f(x):\n    return x\n") != package("def f(x):\n    return x + 1\n")


def test_the_students_own_modules_are_reached():
    loop = code.code_hash(["kdlib.training.loop"])
    assert loop != code.code_hash(["kdlib.training.loop", "kdlib.methods.resolution"])
    assert "kdlib.clips.view" in code._imports("kdlib.clips.batches")
