"""A configuration with its plugins and the facts of its exchange: checked, and wired into nothing yet."""
