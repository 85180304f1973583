"""What happens to a payload, from its acceptance to typed rows. No screen and no socket of a server."""
