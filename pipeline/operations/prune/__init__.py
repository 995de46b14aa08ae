"""Removing shards and labels that nothing uses: `stored` lists what there is, `plan` decides, `deletion` acts."""
