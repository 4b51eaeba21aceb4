"""Where clips come from: generated, decoded, cached, sampled, augmented."""
