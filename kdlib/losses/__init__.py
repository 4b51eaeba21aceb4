"""Pure functions on tensors, one loss a file."""
