"""To be imported last, before processes are forked: what is there stays, so that no fork looks it over for garbage.

Doing so takes half a second in each of them, and copies the memory that they share.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
