# SPDX-License-Identifier: Apache-2.0
"""The ``e4`` command: its sub-commands, and the one border where errors become a line on stderr and an exit status.

Each sub-command lives in a module of its own, imports what it needs inside its functions (``e4 --help`` loads none of it), and
is one line below.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from e4cli import (
    approvals,
    audit,
    backup,
    clients,
    commands,
    conformance,
    demo,
    device,
    doctor,
    enrolments,
    events,
    exits,
    general,
    identities,
    keygen,
    kms,
    links,
    login,
    plans,
    serve,
    streams,
    token,
    topics,
    traffic,
    webhooks,
)
from e4cli.output import visible
from e4cli.streams import ReaderGone
from e4core.errors import E4Error

app = typer.Typer(
    name="e4",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="End-to-end encryption for fleets of devices over any publish/subscribe broker.",
    epilog="Exit statuses: 0 done, 2 usage, others by kind of error: e4 exit-codes.",
)
app.command("suites")(general.suites)
app.command("exit-codes")(general.exit_codes)
app.command("keygen")(keygen.keygen)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("whoami")(login.whoami)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(device.app, name="device")
app.add_typer(clients.app, name="clients")
app.add_typer(topics.app, name="topics")
topics.app.command("protect")(traffic.protect)
topics.app.command("unprotect")(traffic.unprotect)
app.add_typer(plans.app, name="plans")
app.add_typer(links.app, name="links")
app.add_typer(commands.c2, name="c2")
app.add_typer(commands.app, name="commands")
app.add_typer(kms.app, name="kms")
app.command("events")(events.events)
app.add_typer(webhooks.app, name="webhook")
app.add_typer(backup.app, name="backup")
app.add_typer(backup.recovery, name="recovery")
app.add_typer(token.app, name="token")
app.add_typer(identities.app, name="identity")
app.add_typer(enrolments.app, name="enrolment")
app.add_typer(approvals.app, name="approvals")
app.add_typer(audit.app, name="audit")
app.add_typer(conformance.app, name="conformance")
app.command("demo")(demo.demo)


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell on stderr what happens.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=general.version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="e4: %(message)s", stream=sys.stderr)
    # it complains by itself about what reaches us as a PluginError
    logging.getLogger("stevedore").setLevel(logging.CRITICAL)


@cache
def command() -> Callable[..., Any]:
    """`app`, made into what parses a command line, which takes longer than to run it."""
    return get_command(app)


def main() -> NoReturn:
    """Run the command line of this process."""
    streams.set_up()
    sys.exit(_run())


def _run() -> int:
    try:
        # otherwise what a callback of --help and its like exits with; commands give nothing
        return command()(prog_name="e4", standalone_mode=False) or exits.OK
    except E4Error as error:
        return _failed(str(error), exits.code_of(error), error)
    except TyperException as error:
        return _failed(_usage(error), error.exit_code, error)
    except typer.Abort as error:
        return _failed("given up; nothing is done", exits.code_of(E4Error()), error)
    except ReaderGone:
        return exits.CLOSED_PIPE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    # The border of the program: a bug is one line, and the traceback is there for who asks for it.
    except Exception as error:
        text = f"unexpected {type(error).__name__}; set E4_DEBUG=1 to see where, and report it"
        return _failed(text, exits.INTERNAL, error)


def _usage(error: TyperException) -> str:
    """What is wrong with the command line, and where its help is; nothing if the help itself was asked for."""
    text = error.format_message().removeprefix("Invalid value: ").removesuffix(".")
    # what pydantic puts before a reason, and how Typer lists choices
    text = text.replace(": Value error, ", ": ").replace("\n\t", " ")
    context = getattr(error, "ctx", None)
    return text[:1].lower() + text[1:] + (f" (see {context.command_path} --help)" if text and context else "")


def _failed(text: str, code: int, error: Exception) -> int:
    if os.environ.get("E4_DEBUG"):
        logging.getLogger(__name__).error("traceback", exc_info=error)
    if text:
        sys.stderr.write(f"e4: {visible(text)}\n")
    return code
