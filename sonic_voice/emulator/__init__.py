"""The local emulator of Amazon Nova Sonic."""
