"""Where bins come from, synthetic ones or a user's own, and how they get into the raw bucket."""
