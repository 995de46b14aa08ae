"""Photos of bins, synthetic or the user's own, and their upload into the raw bucket."""
