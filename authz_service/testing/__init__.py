"""Stand-ins for tests: real implementations that do as they are told."""
