"""The printed numbers of the flow chapter, as texts and as numbers."""

import pandas as pd

from kdlib.study import tables
from kdlib.study.chapter import Records


def leaderboard(records: Records) -> pd.DataFrame:
    """What leaderboards quote of the paper. A secondary source: nothing is compared with it."""
    quoted = tables.published("flow", "leaderboard")
    return quoted.assign(source="secondary: leaderboards that quote the paper")


def counted() -> dict[str, tuple[int, float]]:
    """The caption of Figure 3: how many classes improve and degrade, and which share in per cent
    that is said to be; "in all" is how many there are."""
    rows = tables.published("flow", "figure-3").itertuples(index=False)
    return {name: (int(count), float(share)) for name, count, share in rows}
