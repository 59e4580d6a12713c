"""Registration of the commands of `sonic-voice`, in the order of `--help`."""

from .base import app
from .emulate import emulate, scenario
from .models import models
from .serve import serve
from .sound import doctor, list_devices
from .talk import TalkCommand, demo, talk

app.command(cls=TalkCommand)(talk)
for command in (serve, demo, emulate, scenario):
    app.command()(command)
app.command("devices")(list_devices)
for command in (doctor, models):
    app.command()(command)

__all__ = ["app"]
