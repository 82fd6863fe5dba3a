"""The executables: one file per protocol."""
