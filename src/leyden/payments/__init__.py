"""Sending, receiving and forwarding payments."""
