"""Pub/Sub: messages read from subscriptions and written to topics."""
