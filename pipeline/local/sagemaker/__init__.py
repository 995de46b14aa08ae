"""SageMaker's control plane for one machine: pipelines, jobs, the registry and endpoints."""
