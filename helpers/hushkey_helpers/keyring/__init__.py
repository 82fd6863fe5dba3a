"""The command line of the keyring program."""
