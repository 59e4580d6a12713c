"""Brains: what decides the answers of the emulator. Each implements `service.brain`."""
