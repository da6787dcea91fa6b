"""The image API that the sidecar protects: limits, upscaling, jobs."""
