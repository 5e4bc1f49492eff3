"""python -m tests.simulation: seeds of the whole bot, checked for what must never happen."""

from tests.simulation.runner import main

raise SystemExit(main())
