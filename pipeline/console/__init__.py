"""The console: pages over AWS's own APIs, by the same operations as the commands, for the local cloud and an account.

A page is a function that returns a `View`; `view.py` renders it, and renders its live blocks again while a browser
listens (`live.py`). All reads go through `readings.py`, so several browsers cost as many requests as a single browser.
"""
