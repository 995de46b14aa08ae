"""The files that one step writes and another reads, and shared names, as typed code."""
