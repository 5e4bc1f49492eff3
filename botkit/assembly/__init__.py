"""The only place that picks concrete classes and wires them."""
