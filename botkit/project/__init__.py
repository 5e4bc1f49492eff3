"""A configuration with its plugins and its exchange's facts, validated but not yet wired to anything."""
