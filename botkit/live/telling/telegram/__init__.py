"""Telegram: a bot's messages, and commands from one user in one chat."""
