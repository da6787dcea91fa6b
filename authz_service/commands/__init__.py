"""Command: families of commands, one module each, that `cli` puts together."""
