"""From query vectors to items."""
