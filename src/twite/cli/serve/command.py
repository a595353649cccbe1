"""The options of `twite serve`, in a separate module so that the usual start needs no Typer."""

from typing import Annotated

import typer

from twite.cli.options import DEFAULT_CONFIG, Config, Json, prints
from twite.cli.serve import GatewayReady
from twite.cli.serve import serve as run


@prints(GatewayReady)
def serve(
    *,
    config: Config = DEFAULT_CONFIG,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=64,
            help="Processes that share the port, on PostgreSQL; default: server.workers",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """On SIGTERM or SIGINT, in-flight requests finish before shutdown. SIGHUP reloads the settings.

    Example: `twite serve --config /etc/twite/twite.toml`
    """
    run(config=config, workers=workers, as_json=as_json)
