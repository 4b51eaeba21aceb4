"""Architectures, one a file: `build(name, classes, **options)`, and what they cost."""
