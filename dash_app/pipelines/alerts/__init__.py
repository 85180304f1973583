"""Alerts: rules are held against what comes, and against what came."""
