"""How bright an object is at every instant, noise-free: one model a file, found by its class name."""
