"""`hushkey doctor`: one file a topic, each yields findings; `rounds` asks them all."""
