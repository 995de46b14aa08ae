"""A benchmark for every claim of speed or size: `python -m benchmarks NAME`; without a name, a list of them.

A benchmark has an S3 server of its own on this machine, with photos in it. Each contender runs in a process of its own,
and its time starts after its imports. The step (ours), the usual way (the baseline) and the best possible rate (the
limit) take turns; the median of their rounds counts. So a ratio holds on other machines, where the figures do not.
"""
