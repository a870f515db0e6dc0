"""When a process looks for garbage in cycles: seldom, because batches make many objects that die together."""

import gc

_COLLECT_AFTER_OBJECTS = 100_000


def collect_seldom() -> None:
    """Call it once, when everything is imported: what lives by then is never looked at again."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)
