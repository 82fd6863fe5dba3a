"""Which identity serves which host: config.toml, checked and compiled."""
