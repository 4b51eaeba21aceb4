"""Rows of an audit: what a paper says in words, and whether its printed numbers bear it out."""

from collections.abc import Iterable, Mapping

Row = dict[str, str]


def sentence(said: str, printed: str, cases: Iterable[object]) -> Row:
    """Whether what is said agrees: "yes", "no", or in how many of the cases that it speaks of.

    cases: whether it holds, wherever it is said to; none where it is not known, and then "–".
    """
    held = [bool(case) for case in cases]
    some = f"in {sum(held)} of {len(held)}"
    agrees = "yes" if all(held) else some if any(held) else "no"
    return {"what is said": said, "what is printed": printed, "agrees": agrees if held else "–"}


def points(values: Mapping[str, float] | Mapping[tuple[str, str], float], digits: int = 1) -> str:
    """Such as "VCOP +9.3, RotNet +6.3"."""
    names = (name if isinstance(name, str) else " ".join(name) for name in values)
    pairs = zip(names, values.values(), strict=True)
    return ", ".join(f"{name} {value:+.{digits}f}" for name, value in pairs)
