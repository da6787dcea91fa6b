"""Tell: logs and metrics. Nothing secret passes through here."""
