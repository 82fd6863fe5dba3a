"""Who signs people in: one file for each kind of identity provider."""
