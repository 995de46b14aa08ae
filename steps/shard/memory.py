"""Memory that is returned to the system when it is no longer needed."""

from __future__ import annotations

import pyarrow as pa


def use_system_allocator() -> None:
    """Let Arrow allocate from the system: its own allocator does not return freed memory."""
    pa.set_memory_pool(pa.system_memory_pool())
