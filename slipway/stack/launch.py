"""Starts a part that is a family of processes, after ending what a killed predecessor left.

`python -m slipway.stack.launch PART COMMAND...`: a kill -9 of Ray's parent leaves the GCS and the
raylet alive, without a cluster and holding their ports, so that no restart could ever succeed.
"""

import os
import sys
from pathlib import Path

from slipway.stack.part import HOME_MARK
from slipway.stack.processes import end, find_ours


def main(arguments: list[str]) -> None:
    """End left-over processes of the part, then become its command."""
    part, *command = arguments
    home = Path(os.environ[HOME_MARK])
    end(process for process in find_ours(home, part=part) if process.pid != os.getpid())
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
