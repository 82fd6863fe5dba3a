"""One file for each provider that the config can name; `registry` lists them."""
