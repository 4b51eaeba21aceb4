"""What SAKD's appendix ablates: the options, their defaults, and the tables that print them."""

from collections.abc import Callable

from book.adaptive.runs import DECIDING, DECIDING_RATE, STARRED
from book.adaptive.tables import published

Value = float | str

# By the printed name, what the method calls them.
RATES = {"Poly": "polynomial", "Linear": "linear", "Cosine": "cosine"}
SUPERVISORS = {"GT+Teac.": "both", "Teacher": "teacher", "GT": "labels"}
DEFAULTS: dict[str, Value] = {
    "threshold": 0.5, "history": 0.1, "rate": "polynomial", "interval": STARRED,
    "supervisor": "both", "gamma": 0.5,
}  # fmt: skip
ENDS = ("1", "10")  # the selection intervals that the sentence on them compares
# Of each option, its title and how a printed value is read.
OPTIONS: dict[str, tuple[str, Callable[[str], Value]]] = {
    "threshold": ("the interruption threshold η", float),
    "history": ("the history weight λ", float),
    "rate": ("the interruption rate β(n)", RATES.__getitem__),
    "interval": ("the selection interval", int),
    "supervisor": ("the supervisor", SUPERVISORS.__getitem__),
    "gamma": ("the diversity weight γ", float),
}
# Of each table, the option and the base method.
ABLATIONS = {
    6: ("threshold", "CrossKD"),
    7: ("history", "CrossKD"),
    8: ("rate", "KD"),
    9: ("rate", "CrossKD"),
    10: ("interval", "KD"),
    11: ("interval", "CrossKD"),
    12: ("supervisor", "KD"),
    13: ("supervisor", "CrossKD"),
    14: ("gamma", "KD"),
    15: ("gamma", "CrossKD"),
}


def title(number: int) -> str:
    """What a table ablates, and with which base method."""
    option, base = ABLATIONS[number]
    return f"Ablation of {OPTIONS[option][0]}, with {base}"


def tables_of(option: str) -> list[int]:
    """The tables that ablate an option."""
    return [number for number, (ablated, _) in ABLATIONS.items() if ablated == option]


def deciding(option: str) -> tuple[str, ...]:
    """The pairs of networks that sentences on an option are decided by."""
    return DECIDING_RATE if option == "rate" else DECIDING


def tested_in(option: str) -> list[int]:
    """The tables that sentences on an option are decided by: all but the supervisor's of CrossKD.

    CrossKD sends the student's features through the teacher's head. Under the teacher alone the
    student's own head learns nothing, and it is that which is tested.
    """
    return [n for n in tables_of(option) if ABLATIONS[n] != ("supervisor", "CrossKD")]


def values(number: int) -> dict[str, Value]:
    """The values of a table's option, by how they are printed."""
    read = OPTIONS[ABLATIONS[number][0]][1]
    return {printed: read(printed) for printed in published(number).iloc[:, 0]}


def default(number: int) -> str:
    """The default of a table's option as it is printed there."""
    wanted = DEFAULTS[ABLATIONS[number][0]]
    return next(printed for printed, value in values(number).items() if value == wanted)
