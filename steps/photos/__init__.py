"""Photos: decoded, resized, described by numbers."""
