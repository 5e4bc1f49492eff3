"""What a strategy author meets: the base class, its parameters, timers and the way into the engine."""
