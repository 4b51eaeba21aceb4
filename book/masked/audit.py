"""What the appendix says, and whether its printed tables bear it out. Sentences in our words."""

from collections.abc import Mapping

import pandas as pd

from book.masked import printed, recipes, tables
from kdlib.study.audits import Row, points, sentence
from kdlib.study.chapter import Records


def table(records: Records) -> pd.DataFrame:
    """A row a sentence.

    Columns: what is said, what is printed, and whether it agrees: "yes", "no", or in how many of
    the cases that the sentence speaks of.
    """
    parts = (_detection, _tokens, _starts, _pixels, _several_values, _settings)
    return pd.DataFrame([row for part in parts for row in part()])


def _is(value: float, stated: float) -> bool:
    """Whether it rounds to what was stated to a tenth."""
    return abs(value - stated) < 0.051


def _detection() -> list[Row]:
    """Table 10."""
    over, found = printed.over_videomae(), printed.detection()
    labels = {name: found[name, "✓"] - found[name, "×"] for name, mark in found if mark == "×"}
    lines = printed.published("table-10").to_dict("records")
    sizes = {
        line["method"]: (line, made) for line in lines if (made := tables.counted(line["method"]))
    }

    def near(line: Mapping[str, str], made: Mapping[str, float]) -> bool:
        ours = made["gmacs"], made["parameters"] / 1e6
        theirs = float(line["GFLOPs"]), float(line["Param"])
        return all(abs(a / b - 1) < 0.02 for a, b in zip(ours, theirs, strict=True))

    vits = {made["parameters"]: made for _, made in sizes.values()}.values()
    return [
        sentence(
            "A.1: without labels MVD with ViT-L is 3.4 above VideoMAE",
            f"{over['L', '×']:+.1f}",
            [_is(over["L", "×"], 3.4)],
        ),
        sentence(
            "A.1: with labels it is 1.7 above",
            f"{over['L', '✓']:+.1f}",
            [_is(over["L", "✓"], 1.7)],
        ),
        sentence(
            "A.1: ViT-H has 41.1 mAP, 1.6 above the best before",
            f"{found['MVD-H (Teacher-H)', '✓']}, {over['H', '✓']:+.1f}",
            [_is(found["MVD-H (Teacher-H)", "✓"], 41.1), _is(over["H", "✓"], 1.6)],
        ),
        sentence(
            "Table 10: labels of Kinetics help every network",
            points(labels),
            (gain > 0 for gain in labels.values()),
        ),
        sentence(
            "Table 10: GFLOPs and parameters are those of ViT-B, L and H on 16 frames of 224 "
            "pixels, within 2 %",
            "counted here: "
            + ", ".join(f"{v['gmacs']:.0f} and {v['parameters'] / 1e6:.0f}" for v in vits),
            (near(*pair) for pair in sizes.values()),
        ),
    ]


def _tokens() -> list[Row]:
    """Table 11."""
    found = printed.accuracies("table-11")
    over = {
        (f"{'full' if mark == '×' else 'masked'} input", data): found[
            "masked reconstruction ✓", data
        ]
        - found[f"per-token distillation {mark}", data]
        for mark in ("×", "✓")
        for data in printed.VIDEO_SETS
    }
    return [
        sentence(
            "A.2: masked reconstruction is better than per-token distillation of either input",
            points(over),
            (margin > 0 for margin in over.values()),
        )
    ]


def _starts() -> list[Row]:
    """Tables 12 and 13."""
    over, patch = printed.over_scratch(), printed.accuracies("table-13")
    on_ssv2 = {name: value for name, value in over.items() if name[1] == "SSv2"}
    two = {d: patch["2×16×16", d] - patch["4×16×16", d] for d in printed.VIDEO_SETS}
    return [
        sentence(
            "A.2: a teacher's weights bring no significant gain (no spread is printed; here: at "
            "most 0.2 points)",
            points(over),
            (value < 0.251 for value in over.values()),
        ),
        sentence(
            "A.2: on SSv2 they are even worse",
            points(on_ssv2),
            (value < 0 for value in on_ssv2.values()),
        ),
        sentence(
            "A.2: two frames a token are better than four",
            points(two),
            (value > 0 for value in two.values()),
        ),
    ]


def _pixels() -> list[Row]:
    """Table 14 and Figure 4."""
    gains, arrows = printed.gains_of_features(), printed.arrows()
    epochs = printed.published("table-14")["epoch"].tolist()
    return [
        sentence(
            "A.3: features gain 0.4 points on ImageNet-1K",
            f"{gains['IN-1K']:+.1f}",
            [_is(gains["IN-1K"], 0.4)],
        ),
        sentence(
            "Table 14: the arrows are the differences of its rows",
            points(gains),
            (_is(gains[data], value) for data, value in arrows.items()),
        ),
        sentence(
            "A.3: on videos features gain more than on images",
            points(gains),
            (gains[data] > gains["IN-1K"] for data in printed.VIDEO_SETS),
        ),
        sentence(
            "A.2: after 200 epochs MVD is 0.7 above VideoMAE of 1600 (Figure 4); in a table too",
            f"the tables have {' and '.join(epochs)} epochs; on which data set is not said",
            ["200" in epochs],
        ),
    ]


def _several_values() -> list[Row]:
    """Students that stand in several tables."""
    rows = [
        sentence(
            f"ViT-B of both ViT-B teachers, 400 epochs, {data}: one setting, one value",
            ", ".join(f"{value} ({place})" for place, value in found.items()),
            [len(set(found.values())) == 1],
        )
        for data, found in printed.one_student().items()
    ]
    patch, tokens = printed.accuracies("table-13"), printed.accuracies("table-11")
    both = printed.one_student()
    shown, known = [], []
    for data in printed.VIDEO_SETS:
        value, of_video = patch["2×16×16", data], tokens["masked reconstruction ✓", data]
        known.append(value in (of_video, *both[data].values()))
        shown.append(f"{data}: {value}; of the video teacher {of_video}, of both {both[data]}")
    text = "; ".join(shown).replace("{", "").replace("}", "").replace("'", "")
    said = "Table 13, two frames: the student is that of Table 11, or the default one"
    return [*rows, sentence(said, text, known)]


def _settings() -> list[Row]:
    """Tables 15 and 16, and the epochs of Table 10."""
    both = ("Sth-Sth V2", "Kinetics-400")
    unknown = [t for t in both if recipes.FINE_TUNING[t]["H"].epochs is None]
    rows = [
        sentence(
            "Table 16: settings of all sizes, H too (its drop path and dropout are there)",
            f"no epochs of ViT-H for {' and '.join(unknown)}",
            (target not in unknown for target in both),
        ),
        sentence(
            "B.1: students are distilled for 400 epochs unless it is said (Table 10 says nothing)",
            "the released code's read-me gives its MVD-L 800 epochs",
            [False],
        ),
    ]
    for number in (15, 16):
        settings = len(printed.published(f"table-{number}"))
        compared, other = settings * min(number - 14, 2), recipes.differences(f"table-{number}")
        rows.append(
            sentence(
                f"Table {number}: the released scripts have the same",
                f"not in {'; '.join(other)}",
                [False] * len(other) + [True] * (compared - len(other)),
            )
        )
    return rows
