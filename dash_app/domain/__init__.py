"""What Dash speaks of: payloads, records, specifications, changes, errors. Pure: the standard library and param only."""
