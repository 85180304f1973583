"""Dash: real-time data pipelines and live dashboards in one Python program."""
