"""The rules of the service, without I/O, clock or chance, and the ports to its host."""
