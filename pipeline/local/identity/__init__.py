"""Who calls, what a call needs, and whether the policies allow it."""
