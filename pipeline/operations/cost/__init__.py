"""What a run will cost, and what a run has cost."""
