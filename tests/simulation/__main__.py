"""python -m tests.simulation: runs the complete bot with many seeds and checks invariants."""

from tests.simulation.runner import main

raise SystemExit(main())
