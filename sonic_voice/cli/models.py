"""The command `sonic-voice models`: the catalogue as tables."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..catalog import VOICE_MODELS
from ..other_models import OTHER_MODELS


def models(
    all_models: Annotated[
        bool,
        typer.Option(
            "--all", help="List the other Bedrock models too, and the APIs that call them."
        ),
    ] = False,
) -> None:
    """List the speech models with their voices, regions and prices."""
    console = Console()
    today = datetime.now(UTC).date()
    for model in VOICE_MODELS:
        table = Table(title=f"{model.name}  [bold]{model.id}[/bold]", title_justify="left")
        for column in ("voice", "locale", "gender", "speaks"):
            table.add_column(column)
        for voice in model.voices:
            speaks = "every language" if voice.polyglot else ", ".join(voice.locales)
            table.add_row(voice.id, voice.locale, voice.gender, speaks)
        console.print(table)
        prices = model.prices
        console.print(f"regions    {', '.join(model.regions)}")
        console.print(f"languages  {', '.join(model.languages)}")
        console.print(
            f"USD per million tokens  speech {prices.speech_in:g} in, {prices.speech_out:g} out; "
            f"text {prices.text_in:g} in, {prices.text_out:g} out"
        )
        if warning := model.warning(today):
            console.print(f"[yellow]{warning}[/yellow]")
        console.print()
    if all_models:
        table = Table(title="Models that do not speak, and how they are called")
        for column in ("model", "id begins with", "kind", "called through"):
            table.add_column(column)
        for other in OTHER_MODELS:
            table.add_row(other.name, other.prefix, other.kind, ", ".join(other.apis))
        console.print(table)
