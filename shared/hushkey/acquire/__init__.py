"""From a request for a token to a token: cached, silent, interactive."""
