"""Spark on the instances of a processing job: the cluster, and Parquet files in S3 as DataFrames."""
