"""What Dash speaks of: payloads, records, documents, changes, errors. Pure: the standard library and param only."""
