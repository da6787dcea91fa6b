"""Keep processes running: start them, watch them, restart them, stop them."""
