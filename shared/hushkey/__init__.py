"""Sign in once; git, Docker, pip and friends are answered silently."""
