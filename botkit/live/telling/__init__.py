"""Everything that a running bot tells its user: screen, log file, notifications, metrics, and their wording."""
