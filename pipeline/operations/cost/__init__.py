"""What a run will cost, and what it did cost.

`money` is the arithmetic; `prices` and `catalog` say what AWS asks, `rates` how long things take; `estimate` and
`monthly` go from settings to a bill, `billing` from the jobs' descriptions to one; `facts`, `measured` and `actual` ask
the account.
"""
