"""Reads messages from Pub/Sub subscriptions and writes messages to topics."""
