"""How every stage is started: what it did goes into the journal, a user's mistake ends in one line."""

import platform
import sys
import time
from collections.abc import Callable

from derm import journal
from derm.errors import UserError


def run(name: str, stage: Callable[[], None]) -> None:
    """Run a stage; exit with 1 and one line on a UserError, a full disk or a file that may not be written."""
    started = time.time()
    journal.note("started", stage=name, host=platform.node(), python=platform.python_version())
    try:
        stage()
    except (UserError, OSError) as error:
        journal.note("failed", stage=name, seconds=time.time() - started, reason=str(error))
        print(f"error: {name}: {error}", file=sys.stderr)
        sys.exit(1)
    except BaseException as error:
        journal.note("failed", stage=name, seconds=time.time() - started, reason=repr(error))
        raise
    journal.note("finished", stage=name, seconds=time.time() - started)
