"""Videos -> batches on the device: which frames, which geometry, which pixels."""
