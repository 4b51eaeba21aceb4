"""Our CKA beside torch-cka's, on the same clips."""

import contextlib
import copy
import io

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, TensorDataset

from book.pretext.maps import BATCH, NETWORKS, test_batches
from kdlib.analysis.cka import cka_map
from kdlib.study.chapter import Chapter


def table(chapter: Chapter) -> pd.DataFrame:
    """A row a layer of Figure 1's R(2+1)D: the layer whose row torch-cka shows under its name.

    The largest difference of values is between rows of the same layer. torch-cka runs in float64:
    in float32 its sums may cancel to less than nothing, and it stops. Layers whose features are
    constant are left out, since it stops at them too.
    """
    from torch_cka import CKA

    record = chapter.records("pretext/figure-1")[NETWORKS[0],][0]
    network = record.student().eval()
    clips = torch.cat([batch.clips for batch in test_batches(record, chapter.setting)])
    size = min(BATCH, len(clips))
    whole = clips[: len(clips) // size * size]  # its last batch must not be smaller
    layers = [name for name, module in network.named_modules() if name and not [*module.children()]]
    ours = cka_map(network, network, whole.split(size), layers=layers).values
    known = ~np.isnan(ours.diagonal())
    ours = ours[np.ix_(known, known)]
    layers = [name for name, kept in zip(layers, known, strict=True) if kept]
    loader = DataLoader(TensorDataset(whole.double(), torch.zeros(len(whole))), batch_size=size)
    twin = copy.deepcopy(network).double()
    torch.set_default_dtype(torch.float64)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            theirs = CKA(twin, twin, model1_layers=layers, model2_layers=layers, device="cpu")
            theirs.compare(loader)
    finally:
        torch.set_default_dtype(torch.float32)
    values = theirs.export()["CKA"].numpy()
    # Rows in the order of running, as it fills them.
    running = [
        name for name in cka_map(network, network, [whole[:size]]).names[0] if name in layers
    ]
    order = [layers.index(name) for name in running]
    apart = np.abs(values - ours[np.ix_(order, order)])
    return pd.DataFrame(
        {
            "row of torch-cka": layers,
            "is of the layer": running,
            "same": ["yes" if a == b else "no" for a, b in zip(layers, running, strict=True)],
            "largest difference to ours": [f"{value:.1e}" for value in apart.max(1)],
        }
    )
