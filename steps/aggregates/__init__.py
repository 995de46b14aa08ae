"""Aggregates over the consolidated metadata and the labels, for any engine: SQL text, and numbers from its rows.

`steps/query` runs these statements in Athena, and `steps/explore` in DuckDB or Spark.
"""
