"""What races: each function prepares its imports and gives back the work (see `benchmarks.child`)."""
