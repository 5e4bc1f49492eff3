"""The interface for strategy authors: the base class, parameters, timers and the link to the engine."""
