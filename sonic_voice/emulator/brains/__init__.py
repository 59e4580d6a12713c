"""Brains: what decides the answers of the emulator. Each implements the ports of
`service.brain`."""
