"""What is kept on disk: the data key, and the files that it encrypts."""
