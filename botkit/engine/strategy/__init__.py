"""What a strategy author works with: the base class, parameters, timers and the link to the engine."""
