"""The credential helper protocol of Docker and other OCI clients."""
