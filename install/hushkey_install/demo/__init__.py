"""The demonstration: real servers, real git, one sign-in, told as a story."""
