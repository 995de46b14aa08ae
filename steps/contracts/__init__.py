"""What one step writes and another reads, as typed code."""
