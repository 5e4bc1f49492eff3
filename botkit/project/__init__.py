"""A configuration with its plugins and its exchange's facts, checked but not wired to anything yet."""
