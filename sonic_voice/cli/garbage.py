"""Garbage collection that does not stop a conversation."""

import gc


def exempt_existing_objects() -> None:
    """Exempt the objects that exist from garbage collection for the rest of the process.

    The imports of a conversation make some 90,000 objects that live as long as the process. A full
    collection examines them all, which stops the event loop, and a callback of the sound devices,
    for 90 ms. Call this when the imports are done.
    """
    gc.freeze()
