"""Sound: ports, PCM, resampling, playout, files and mute. Nothing here opens a device."""
