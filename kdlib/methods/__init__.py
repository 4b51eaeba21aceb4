"""One distillation method a file: what happens with a batch."""
