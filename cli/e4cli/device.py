# SPDX-License-Identifier: Apache-2.0
"""``e4 device``: make and look after the state of a device, protect and unprotect single messages."""

from __future__ import annotations

import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli import device_enrol, device_qr, device_run, payloads, states
from e4cli.output import Output, OutputOption, Row, remark, show_record
from e4cli.passphrases import PassphraseFileOption
from e4cli.payloads import Base64Option, InOption, OutOption
from e4cli.states import EncryptOption, NewStateOption, StateOption

if TYPE_CHECKING:
    from e4core.formats import AnyClient, AnyState
    from e4core.keys import ClientId
    from e4core.suite import Suite

app = typer.Typer(no_args_is_help=True, help="Run a device, and look after its state file.")
app.command("enrol")(device_enrol.enrol)
app.command("qr")(device_qr.qr)
app.command("run")(device_run.run)

TopicOption = Annotated[str, typer.Option("--topic", "-t", help="Topic of the message.")]
_RATE_PATIENCE_S = 5


@app.command()
def init(
    suite: Annotated[str, typer.Option(help="Suite of the fleet; see e4 suites.")],
    key: Annotated[
        Path, typer.Option(metavar="FILE", help="Private key of the device, or its name in a token; see e4 keygen.")
    ],
    state: NewStateOption,
    name: Annotated[str | None, typer.Argument(help="Name of the device, from which its id follows.")] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="HEX", help="Instead of NAME: its id, 16 bytes.")] = None,
    c2_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Public key of the C2, in public-key suites.")
    ] = None,
    encrypt: EncryptOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the state file of a device that has had no command yet."""
    from e4core import files
    from e4core.formats import new_state
    from e4core.plugins import load_suite
    from e4device import keyfiles
    from e4device.in_token import opened

    loaded = load_suite(suite)
    if loaded.c2.public_len and c2_key is None:
        raise typer.BadParameter(f"the suite {suite} needs --c2-key")
    if c2_key and not loaded.c2.public_len:
        raise typer.BadParameter(f"in the suite {suite} the C2 has no key; leave out --c2-key")
    with opened(loaded, files.read(key)) as as_held:
        fresh = new_state(
            as_held,
            _client_id(loaded, name, id_),
            keyfiles.load_private(key, as_held.device),
            keyfiles.load_public(c2_key, loaded.c2) if c2_key else b"",
        )
        with states.new(state, passphrase_file, encrypt) as file:
            file.create(fresh)
        show_record(output, _facts(as_held, fresh))


@app.command()
def show(state: StateOption, passphrase_file: PassphraseFileOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show what the state holds, without secrets; also while the device runs."""
    from e4core.plugins import load_suite
    from e4device.in_token import opened

    file = states.existing(state, passphrase_file)
    held = states.load(file)
    synchronised = not held.clean and file.is_synchronised()
    with opened(load_suite(held.suite), held.private) as suite:
        facts = {**_facts(suite, held), "synchronised": synchronised, "encrypted": file.is_sealed()}
    show_record(output, facts)


@app.command()
def protect(
    topic: TopicOption,
    state: StateOption,
    in_: InOption = None,
    out: OutOption = None,
    base64: Base64Option = False,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Protect one message: payload in, protected message out."""
    payload = payloads.read(in_)
    with states.client_of(states.existing(state, passphrase_file)) as client:
        data = _protected(client, payload, topic)
    payloads.write(out, b64encode(data) + b"\n" if base64 else data)


@app.command()
def unprotect(
    topic: TopicOption,
    state: StateOption,
    in_: InOption = None,
    out: OutOption = None,
    base64: Base64Option = False,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check one protected message and give its payload, once; with --output json or csv also who sent it, and when."""
    from e4cli.messages import fields

    data = payloads.read(in_)
    with states.client_of(states.existing(state, passphrase_file)) as client:
        message = client.unprotect(payloads.unbase64(data) if base64 else data, topic, time.time())
    if output is not Output.TABLE:
        show_record(output, fields(topic, message))
    else:
        payloads.write(out, message.payload)


@app.command("import-e4go")
def import_e4go(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A state file of e4go.")],
    state: NewStateOption,
    encrypt: EncryptOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take over a device from e4go; what was sent before this moment is not accepted any more. The old file stays."""
    from e4core.errors import InvalidInput
    from e4core.plugins import load_suite
    from e4device import statefile

    try:
        adopted = statefile.import_e4go(source, time.time())
    except InvalidInput as error:
        # what it goes on to advise is meant for states of our own
        detail = str(error).partition(";")[0]
        raise InvalidInput(f"{source}: no state of e4go: {detail}", kind=error.kind) from error
    with states.new(state, passphrase_file, encrypt) as file:
        file.create(adopted)
    show_record(output, _facts(load_suite(adopted.suite), adopted))
    remark(f"{source} holds the same keys: delete it, so that no two devices act as one")


@app.command("export-e4go")
def export_e4go(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file of e4go to make; its keys are in clear.")],
    state: StateOption,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Hand a device over to e4go, which remembers no replays."""
    with states.existing(state, passphrase_file) as file, states.about(state):
        file.export_e4go(out, time.time())
    remark(f"{state} holds the same keys: delete it, so that no two devices act as one")


@app.command("reset-clock")
def reset_clock(state: StateOption, passphrase_file: PassphraseFileOption = None) -> None:
    """After the clock of this device ran ahead: forget times beyond now. In sk and pk nothing sent before is accepted."""
    with states.client_of(states.existing(state, passphrase_file)) as client:
        client.reset_clock(time.time())


def _client_id(suite: Suite, name: str | None, id_: str | None) -> ClientId:
    from e4core.errors import InvalidInput
    from e4core.keys import ClientId, check_client_name

    if (name is None) == (id_ is None):
        raise typer.BadParameter("give either a NAME or --id")
    if name is not None:
        return ClientId(suite.derive_id(check_client_name(name)))
    try:
        return ClientId(bytes.fromhex(id_ or ""))
    except ValueError as error:
        raise InvalidInput("an id is 16 bytes, written as 32 hexadecimal digits", kind="bad_id") from error


def _facts(suite: Suite, state: AnyState) -> Row:
    from e4core.keys import report_topic
    from e4device.in_token import name_of

    public = None if suite.is_symmetric else suite.device.public(suite.device.load(state.private)).hex()
    return {
        "suite": state.suite,
        "id": state.client_id.hex(),
        "public_key": public,
        "key_in_token": name_of(state.private),
        "c2_public_key": state.c2_public.hex() or None,
        "control_topic": state.control_topic,
        "report_topic": report_topic(state.client_id),
        "topics": [topic.hex() for topic in state.topics],
        "peers": [peer.hex() for peer in state.peers],
        "newest_command": state.newest_command or None,
        "stopped_in_order": state.clean,
    }


def _protected(client: AnyClient, payload: bytes, topic: str) -> bytes:
    from e4core.errors import RateExceeded

    for _ in range(_RATE_PATIENCE_S):
        try:
            return client.protect(payload, topic, time.time())
        except RateExceeded:
            time.sleep(1)
    return client.protect(payload, topic, time.time())
