"""`python -I -m hushkey_helpers.agent [LOCK [STEP]]`: the agent's process."""

from __future__ import annotations

import sys

from hushkey_helpers.agent.tools import main

if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
