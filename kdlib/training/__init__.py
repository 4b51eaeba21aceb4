"""The one training loop, which knows no method."""
