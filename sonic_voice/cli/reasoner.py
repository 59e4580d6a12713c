"""The reasoner of `--reasoner`: a text model that thinks while the voice model hears and speaks.

The tools of the command then belong to the text model; the voice model has the one tool with which
it asks (`reasoning.expert_tool`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..config import SessionConfig, ToolChoice
from ..reasoning.expert import Expert
from ..reasoning.expert_tool import reasoner_tool
from ..tools.toolbox import Toolbox

if TYPE_CHECKING:
    from ..reasoning.requests import ModelApi


@dataclass(frozen=True, slots=True)
class CommandReasoner:
    """The reasoner of a command, which makes one for each conversation."""

    model: "ModelApi"
    name: str
    """Name for the first line that the command prints."""
    system: str
    """System prompt of the text model."""
    on_notice: Callable[[str], None]
    """Receiver of the reasons for which there was no answer."""

    def __call__(self, tools: Toolbox) -> Expert:
        """Return the reasoner of a conversation.

        Args:
            tools: The tools that the text model may call.
        """
        from ..reasoning.model_reasoner import ModelReasoner

        reasoner = ModelReasoner(self.model, system=self.system, tools=tools)
        return Expert(reasoner, on_notice=self.on_notice)

    async def aclose(self) -> None:
        """Close what the model holds."""
        await self.model.aclose()


def load_reasoner(
    address: str | None,
    config: SessionConfig,
    *,
    region: str | None,
    profile: str | None,
    proxy: str | None,
    on_notice: Callable[[str], None],
) -> tuple[SessionConfig, CommandReasoner | None]:
    """Return a configuration with the tool of a reasoner, and the reasoner.

    Args:
        address: The option; None for no reasoner.
        config: The configuration of the conversation.
        region: AWS region, for Converse.
        profile: Profile of the AWS configuration, for Converse.
        proxy: URL of a proxy, for Converse.
        on_notice: Receiver of the reasons for which there was no answer.

    Raises:
        ConfigError: The address is malformed.
    """
    if address is None:
        return config, None
    from ..reasoning.model_apis import reasoner_model

    if address.startswith("converse:"):
        from ..bedrock import BedrockTransport

        model = reasoner_model(
            address,
            transport=lambda: BedrockTransport(region=region, profile=profile, proxy=proxy),
        )
    else:
        model = reasoner_model(address)
    kind, _, rest = address.partition(":")
    name = f"{rest.rpartition('#')[2]} by {kind}"
    config = replace(config, tools=(reasoner_tool(config.model),), tool_choice=ToolChoice())
    return config, CommandReasoner(model, name, config.system, on_notice)
