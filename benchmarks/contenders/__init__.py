"""The contenders: each function prepares its imports and returns the work (see `benchmarks.child`)."""
