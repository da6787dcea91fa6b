"""Tell: logs. Nothing secret passes through here."""
