"""The rules that may refuse an order, and the limits that halt a strategy or the bot."""
