"""What the printed tables say of each other, and the recipes."""

from itertools import pairwise

import pandas as pd

from book.adaptive.ablations import ABLATIONS, default, tables_of
from book.adaptive.runs import VIDEO, Runs
from book.adaptive.tables import published
from kdlib.study.chapter import Records


def table(records: Records) -> pd.DataFrame:
    """One setting with several values, deltas that do not add up, sentences not borne out."""
    return pd.DataFrame([*_defaults(), *_deltas(), *_bests(), *_smallest(), *_worse()])


def _defaults() -> list[dict[str, str]]:
    """Cells of the default setting whose values differ between the tables of one base method."""
    rows = []
    for base in ("KD", "CrossKD"):
        values: dict[str, dict[int, str]] = {}
        for number in (n for n, (_, of) in ABLATIONS.items() if of == base):
            printed = published(number)
            row = printed[printed.iloc[:, 0] == default(number)].iloc[0]
            for column in printed.columns[1:]:
                if "Time" not in column:
                    # Some tables print "Slowfast", others "SlowFast".
                    name = column.replace("|", ", ").replace("Slowfast", "SlowFast")
                    values.setdefault(name, {})[number] = row[column]
        for name, found in values.items():
            if len(set(found.values())) > 1:
                said = ", ".join(f"{value} (Table {n})" for n, value in found.items())
                rows.append({"what": f"default setting, {base}, {name}", "printed": said})
    return rows


def _bests() -> list[dict[str, str]]:
    """Top-1 columns of an ablation whose best row is not the one that the text calls best."""
    rows = []
    for number, (option, _) in ABLATIONS.items():
        if option == "interval":
            continue  # of the intervals the text calls the shortest best
        printed, best = published(number), default(number)
        names = printed.iloc[:, 0]
        for column in printed.columns[1:]:
            values = printed[column].astype(float)
            top = names[values.idxmax()]
            if "Top-1" in column and top != best:
                said = values[names == best].iloc[0]
                rows.append(
                    {
                        "what": f"Table {number}, {names.name} = {best} called best, "
                        f"{column.split('|')[-1]}",
                        "printed": f"{said}, but {values.max()} at {top}",
                    }
                )
    return rows


def _smallest() -> list[dict[str, str]]:
    """Section 4 calls SlowFast the smallest of the video models."""
    printed = published(3)
    sizes = printed["Params (M)"].astype(float)
    ours = sizes[printed["Basic Model"] == "SlowFast"].idxmin()
    videos = sizes[printed["Basic Model"].isin(["TPN", "SlowFast", "VideoST"])]
    if videos.idxmin() == ours:
        return []
    said = [f"{sizes[row]} of {printed.Backbone[row]}" for row in (ours, videos.idxmin())]
    what = "Table 3, SlowFast called the smallest video model, Params (M)"
    return [{"what": what, "printed": ", but ".join(said)}]


def _worse() -> list[dict[str, str]]:
    """Cells below those that the text says, or suggests, they surpass."""
    rows = []
    table5 = published(5)
    for method, group in table5[table5.Method != "-"].groupby("Method", sort=False):
        by_type = group.set_index("Type")
        for kind in ("Ours", "Ours*"):
            what = f"Table 5, {method}, {kind} against vanilla"
            rows += _below(by_type, kind, "Vani.", what)
    for number in tables_of("supervisor"):
        by_supervisor = published(number).set_index("Supervisor")
        what = f"Table {number}, teacher said to be better than labels"
        rows += _below(by_supervisor, "Teacher", "GT", what)
    for number in tables_of("interval"):
        by_interval = published(number).set_index("Interval")
        for shorter, longer in pairwise(by_interval.index):
            what = f"Table {number}, interval {shorter} said to be better than {longer}"
            rows += _below(by_interval, shorter, longer, what, ("Top-1",))
    return rows


def _below(
    printed: pd.DataFrame,
    better: str,
    worse: str,
    what: str,
    metrics: tuple[str, ...] = ("Top-1", "Top-5"),
) -> list[dict[str, str]]:
    """A row for each accuracy in which the `better` row is below the `worse` one."""
    rows = []
    for column in printed.columns:
        if not set(column.split("|")) & set(metrics):
            continue
        high, low = printed[column][better], printed[column][worse]
        if float(high) < float(low):
            rows.append(
                {"what": f"{what}, {column.replace('|', ', ')}", "printed": f"{high}, but {low}"}
            )
    return rows


def _deltas() -> list[dict[str, str]]:
    """Deltas of Table 4 that are not the difference of the two cells they stand for."""
    printed = published(4)
    rows = []
    for metric in ("Top-1", "Top-5", "hrs"):
        value, delta = (f"ResNet34→ResNet18|{metric}{end}" for end in ("", " Δ"))
        for method, group in printed.groupby("Method", sort=False):
            if method == "-":
                continue
            vanilla = float(group[group.Type == "Vani."][value].iloc[0])
            for row in group[group.Type != "Vani."].to_dict("records"):
                stated = float(row[delta].removesuffix("h"))
                found = float(row[value]) - vanilla
                if abs(stated - found) > 0.005:
                    rows.append(
                        {
                            "what": f"Table 4, {method} {row['Type']}, {metric} Δ",
                            "printed": f"{row[delta]}, but {row[value]} − {vanilla} = {found:+.2f}",
                        }
                    )
    return rows


def recipes(runs: Runs, records: Records) -> pd.DataFrame:
    """Table 2 as printed, and the batch size and epochs of every row here."""
    ours = [
        {
            "Model": f"{name}, here",
            "batch size": str(runs.training(name).batch_size),
            "epochs": str(runs.training(name).epochs),
        }
        for name in VIDEO
    ]
    return pd.concat([published(2), pd.DataFrame(ours)], ignore_index=True).fillna("–")
