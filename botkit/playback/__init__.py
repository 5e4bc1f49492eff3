"""Observes a run for its playback, a page for scrubbing through the run. It only reads and changes nothing."""
