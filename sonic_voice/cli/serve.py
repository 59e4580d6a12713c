"""The command `sonic-voice serve`: a page and the bridge behind it, until a signal ends it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..catalog import DEFAULT_MODEL, voice_model
from ..config import DEFAULT_SYSTEM, SessionConfig
from ..guards.verdicts import DEADLINE_S
from ..languages import voice_for
from .base import errors, run_until_done, uvloop_factory
from .builtin_tools import with_builtin
from .completion import complete_voice
from .configured import PresetName
from .ending import print_notice
from .faults import ChaosSeed, FaultTexts
from .guard_option import AwsSettings, guard_option
from .mcp import mcp_servers, run_with_tools
from .options import (
    AllowOrigin,
    BuiltinTools,
    CaFile,
    EndpointUrl,
    Greeting,
    GuardFailure,
    GuardName,
    GuardPolicy,
    GuardSeconds,
    GuardSound,
    GuardText,
    IdlePrompts,
    IsLocal,
    Language,
    ListenHost,
    ListenPort,
    LogFile,
    MaskPii,
    MaxPerAddress,
    McpConfig,
    McpTargets,
    ModelId,
    NoReconnect,
    ProfileName,
    ProxyUrl,
    ReasonerAddress,
    RegionName,
    ScenarioFile,
    ServerLogFormat,
    ServerLogLevel,
    StreamLife,
    SystemPrompt,
    ToolsFile,
    Traced,
    TrustedProxy,
    VoiceId,
    WebhookUrl,
)
from .reasoner import load_reasoner
from .server_log import server_log
from .service import idle_prompts, read_text_argument, recovery_policy, select_service
from .serving import (
    Place,
    ServeOptions,
    agentcore_host,
    page_folder,
    read_secret,
    require_packages,
    serve_bridge,
    tape_folder,
    tls_context,
)
from .telemetry import telemetry
from .tools_file import load_tools
from .worker_seat import worker_seat


def serve(
    context: typer.Context,
    preset: PresetName = None,
    log_file: LogFile = None,
    local: IsLocal = False,
    scenario: ScenarioFile = None,
    fault: FaultTexts = None,
    chaos: ChaosSeed = None,
    host: ListenHost = "127.0.0.1",
    port: ListenPort = 8080,
    agentcore: Annotated[
        bool,
        typer.Option(
            "--agentcore",
            help="Follow the contract of Amazon Bedrock AgentCore Runtime: its paths /ws and "
            "/ping, on 0.0.0.0, and its authentication of clients. Nobody else must be able to "
            "reach the server.",
        ),
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate.")] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file with the key of the certificate.")
    ] = None,
    allow_origin: AllowOrigin = None,
    trusted_proxy: TrustedProxy = None,
    token_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret that session tokens are signed with.")
    ] = None,
    token_jwks: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Public keys of another issuer of tokens: URL of a JWKS, or PEM file.",
        ),
    ] = None,
    token_issuer: Annotated[str, typer.Option(help="Required issuer (iss) of tokens.")] = "",
    token_audience: Annotated[str, typer.Option(help="Required audience (aud) of tokens.")] = "",
    one_time_tokens: Annotated[
        bool,
        typer.Option("--one-time-tokens", help="Let a token open one conversation only."),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Number of processes that serve the port; each uses one core.",
        ),
    ] = 1,
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis server in which workers and servers share limits and the text of "
            "conversations, so that any of them continues a conversation.",
        ),
    ] = None,
    drain_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="Time that conversations have after SIGTERM, in seconds. Those that have not "
            "ended then continue at another worker or server, or after a restart.",
        ),
    ] = 0.0,
    max_sessions: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of conversations at a time, over all workers."),
    ] = 64,
    max_per_address: MaxPerAddress = None,
    max_minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Maximum duration of a conversation, in minutes. It limits what one visitor can "
            "cost.",
        ),
    ] = 60.0,
    idle_s: Annotated[
        float,
        typer.Option(min=1, help="Silence of both sides, in seconds, that ends a conversation."),
    ] = 300.0,
    model: ModelId = DEFAULT_MODEL,
    voice: VoiceId = None,
    language: Language = None,
    offer_voice: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=complete_voice,
            help="Another voice that the page may choose; may be repeated.",
        ),
    ] = None,
    system: SystemPrompt = None,
    greeting: Greeting = "",
    idle_prompt: IdlePrompts = None,
    tools: ToolsFile = None,
    guard: GuardName = None,
    guard_failure: GuardFailure = "closed",
    guard_seconds: GuardSeconds = DEADLINE_S,
    guard_text: GuardText = None,
    guard_sound: GuardSound = None,
    guard_policy: GuardPolicy = None,
    reasoner: ReasonerAddress = None,
    mcp: McpTargets = None,
    mcp_config: McpConfig = None,
    builtin: BuiltinTools = None,
    region: RegionName = None,
    profile: ProfileName = None,
    endpoint: EndpointUrl = None,
    ca: CaFile = None,
    proxy: ProxyUrl = None,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to keep the text of conversations in for an hour, so that pages continue "
            "them after a restart of the server.",
        ),
    ] = None,
    page_history: Annotated[
        bool,
        typer.Option(
            "--page-history",
            help="Begin a conversation with the earlier words that the page has kept. A visitor "
            "can make them up.",
        ),
    ] = False,
    webhook: WebhookUrl = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder to record every conversation in, with its sound; only you can read it. "
            "Tell your visitors.",
        ),
    ] = None,
    mask_pii: MaskPii = False,
    record_mb: Annotated[
        int,
        typer.Option(min=1, help="Maximum size of the tape of a conversation, in megabytes."),
    ] = 100,
    trace: Traced = False,
    log_level: ServerLogLevel = "info",
    log_format: ServerLogFormat = "text",
    no_reconnect: NoReconnect = False,
    stream_life: StreamLife = None,
    pages: Annotated[
        Path | None, typer.Option(help="Folder of a page to serve instead of the included one.")
    ] = None,
    uvloop: Annotated[
        bool,
        typer.Option("--uvloop", help="Run on uvloop, which takes a little less CPU time."),
    ] = False,
) -> None:
    """Serve a page for talking with the model, until Ctrl-C.

    [bold]sonic-voice serve --local[/bold]
    [bold]sonic-voice serve --region us-east-1 --tools robot.py[/bold]

    Open the address that it prints in a browser. The element <sonic-voice> on
    other pages connects to the same server.

    By default only this machine can connect. To serve others, give the origin
    of each page that may connect (the public address of this server included),
    a file with a secret of 32 bytes or more, and a certificate, unless a proxy
    terminates TLS: browsers allow the microphone only on pages that were loaded
    over HTTPS. Name such a proxy with --trusted-proxy.

    [bold]sonic-voice serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    --allow-origin https://voice.example:8080 --token-secret-file secret[/bold]

    Tokens are JSON Web Tokens. Your application signs them with that secret
    (HS256), or with a key whose public part you publish (RS256, ES256), as
    Cognito does:

    [bold]--token-jwks https://cognito-idp.us-east-1.amazonaws.com/POOL/.well-known/jwks.json
    --token-issuer https://cognito-idp.us-east-1.amazonaws.com/POOL
    --token-audience APP_CLIENT_ID[/bold]

    With several workers, or several servers behind a load balancer, --redis
    lets a page continue at any of them, and the limits hold over all:

    [bold]sonic-voice serve --workers 4 --redis redis://localhost --drain-s 60[/bold]

    In Amazon Bedrock AgentCore Runtime, which checks who connects:

    [bold]sonic-voice serve --agentcore[/bold]

    /healthz answers 503 once the server stops or drains, and /metrics has
    its Prometheus metrics. Standard error has a line for each conversation that
    starts or ends, with the reason, and for each connection that is rejected.
    """
    with errors(context), ExitStack() as stack:
        require_packages(workers=workers, redis=redis)
        if (token_issuer or token_audience) and not (token_jwks or token_secret_file):
            raise typer.BadParameter(
                "--token-issuer and --token-audience need --token-jwks or --token-secret-file."
            )
        if one_time_tokens and not (token_jwks or token_secret_file):
            raise typer.BadParameter(
                "--one-time-tokens needs tokens: --token-secret-file or --token-jwks."
            )
        if one_time_tokens and workers > 1 and redis is None:
            raise typer.BadParameter(
                "--one-time-tokens with several workers needs --redis: "
                "else a token opens a conversation at each of them."
            )
        if workers > 1 and store is not None:
            raise typer.BadParameter("Workers share conversations in --redis, not in a --store.")
        if redis is not None and store is not None:
            raise typer.BadParameter("Conversations are kept either in --redis or in --store.")
        if workers > 1 and log_file is not None:
            raise typer.BadParameter("Workers cannot share a --log-file: use standard error.")
        seat = worker_seat()
        supervises = workers > 1 and seat is None
        toolbox = with_builtin(load_tools(tools), builtin)
        servers = mcp_servers(mcp, mcp_config)
        guarding = guard_option(
            guard,
            failure=guard_failure,
            deadline_s=guard_seconds,
            instead=guard_text,
            sound=guard_sound,
            policy=guard_policy,
            aws=AwsSettings(region, profile, endpoint, ca, proxy),
        )
        config = SessionConfig(
            model=model,
            voice=voice if language is None else voice_for(voice_model(model), language, voice).id,
            region=region,
            system=DEFAULT_SYSTEM if system is None else read_text_argument(system),
            tools=toolbox.specs,
            stream_s=stream_life,
            recovery=recovery_policy(no_reconnect),
            greeting=greeting,
            idle_prompts=idle_prompts(idle_prompt),
        )
        config, thinker = load_reasoner(
            reasoner, config, region=region, profile=profile, proxy=proxy, on_notice=print_notice
        )
        options = ServeOptions(
            config=config,
            tools=toolbox,
            reasoner=thinker,
            voices=tuple(config.voice_model.voice(name).id for name in offer_voice or ()),
            host=agentcore_host(context) or host if agentcore else host,
            port=port,
            agentcore=agentcore,
            tls=tls_context(tls_cert, tls_key),
            origins=frozenset(allow_origin or ()),
            proxies=tuple(trusted_proxy or ()),
            secret=read_secret(token_secret_file),
            jwks=token_jwks,
            issuer=token_issuer,
            audience=token_audience,
            page_history=page_history,
            store=store,
            pages=page_folder(pages),
            max_sessions=max_sessions,
            max_per_address=max_per_address,
            max_minutes=max_minutes,
            idle_s=idle_s,
            webhook=webhook,
            traced=stack.enter_context(
                telemetry(trace and not supervises, print_notice, mask_pii=mask_pii)
            ),
            tapes=tape_folder(record, record_mb, mask_pii=mask_pii),
            mask_pii=mask_pii,
            guard=guarding,
            one_time_tokens=one_time_tokens,
            workers=workers,
            redis=redis,
            drain_s=drain_s,
            secret_file=token_secret_file,
        )
        service = select_service(
            local=local,
            scenario=scenario,
            region=region,
            profile=profile,
            endpoint=endpoint,
            ca=ca,
            model=model,
            authenticated=False,  # without credentials the page still loads, and shows the error
            proxy=proxy,
            language=language,
            faults=fault,
            chaos=chaos,
        )
        toolbox.on_notice = print_notice
        loop_factory = uvloop_factory() if uvloop else None
        with server_log(log_level, log_format, debug=bool(context.obj), workers=workers > 1):
            if supervises:
                from .workers import supervise

                supervise(options)
            place = Place() if seat is None else seat.place
            run_until_done(
                run_with_tools(
                    servers, options, lambda options: serve_bridge(options, service, place)
                ),
                loop_factory,
            )
