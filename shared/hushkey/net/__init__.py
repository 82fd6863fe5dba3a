"""HTTP to identity servers, and what their answers mean."""
