"""What a running bot tells its user: screen, log file, notifications, metrics, and the sentences in them."""
