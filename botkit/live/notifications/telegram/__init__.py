"""Telegram support: messages from a bot, and commands from one user in one chat."""
