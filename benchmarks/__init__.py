"""Every claim of speed or size, runnable: `python -m benchmarks NAME`; without a name, what there is.

Picture a race on one track: an S3 server of its own, on this machine, with photos in it. A contender runs in a process
of its own, and its time starts after its imports. The step, the way it replaces (the baseline) and what the server
could give at best (the limit) take turns; the median of their rounds counts. So a ratio holds where the figures
themselves, which are this machine's on this day, do not.
"""
