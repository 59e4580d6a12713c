"""The rules of the emulated service, without I/O, clock or chance, and the ports to its host."""
