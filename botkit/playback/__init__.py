"""Observes a run for its playback, a page for scrubbing through the run. The code here only reads the run and never
changes it.
"""
