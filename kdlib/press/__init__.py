"""The book: notebooks executed, pages built, and `make reproduce` from end to end."""
