"""Sources tried out before they are saved."""
