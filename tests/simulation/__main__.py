"""python -m tests.simulation: runs seeds of the complete bot and checks invariants."""

from tests.simulation.runner import main

raise SystemExit(main())
