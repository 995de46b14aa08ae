"""Photos: decoding, resizing, statistics."""
