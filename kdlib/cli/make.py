"""`python -m kdlib.cli.make COMMAND`: what the Makefile calls, with its settings as environment.

For each setting the Makefile exports KDLIB_<NAME>, empty where it is not given, and in KDLIB_GIVEN
the names that were written behind the target. No shell reads a value on its way.
"""

import os
import sys
from collections.abc import Mapping

from kdlib import cli
from kdlib.errors import UserError, unknown


def arguments(environment: Mapping[str, str]) -> list[str]:
    """The settings as `kdlib.cli.main` takes them, NAME=value; UserError for an unknown name."""
    known = [name.upper() for name in cli.SETTINGS]
    for name in environment.get("KDLIB_GIVEN", "").split():
        if name in known:
            continue
        if name.upper() in known:
            raise UserError(f"{name}: settings of make are written in capitals, as {name.upper()}=")
        raise unknown("setting", name, known)
    return [f"{name}={value}" for name in known if (value := environment.get(f"KDLIB_{name}"))]


def main() -> int:
    """Run the command that the Makefile names; the exit status is that of `kdlib.cli.main`."""
    try:
        given = arguments(os.environ)
    except UserError as error:
        print(f"kdlib: {error}", file=sys.stderr)
        return error.exit_code
    return cli.main([*sys.argv[1:], *given])


if __name__ == "__main__":
    sys.exit(main())
