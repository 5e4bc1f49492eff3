"""A running bot's output to its user: screen, log file, notifications, metrics, and their wording."""
