"""All output of a running bot to its user: screen, log file, notifications, metrics, and their wording."""
