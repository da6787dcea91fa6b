"""The whole stack on one machine: what `make run` starts, and the tests on free ports."""
