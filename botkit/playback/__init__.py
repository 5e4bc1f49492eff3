"""Looks at a run while it runs, for its playback: a page to scrub through. It reads, and changes nothing."""
