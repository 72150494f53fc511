# SPDX-License-Identifier: Apache-2.0
"""``e4 login``: a C2 and who asks it are said once, kept from others, and never mixed with those of another place."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.c2.authority import Authority
from tests.c2.issuer import AUDIENCE, Issuer
from tests.c2.pairs import self_signed
from tests.c2.served import ADMIN, Served, created, serving, settings_in
from tests.cli.c2_server import C2
from tests.cli.command import PROGRAM, answer, e4, environment, ok, refused


class User:
    """Who has a folder for configuration, and the token of a C2 in a file."""

    def __init__(self, folder: Path, c2: C2) -> None:
        self.folder, self.c2 = folder, c2
        self.env = {"XDG_CONFIG_HOME": str(folder / "config")}
        self.url = c2.served.started.url
        self.token_file = c2.served.settings.admin_token_file

    def login(self, *more: str | Path) -> None:
        ok("login", self.url, "--token-file", self.token_file, *more, env=self.env)

    def file(self, profile: str) -> Path:
        return self.folder / "config" / "e4" / "profiles" / f"{profile}.json"

    def asks(self, *arguments: str | Path, **variables: str) -> str:
        """By which name the C2 knows who asks."""
        return str(answer("whoami", *arguments, env={**self.env, **variables})["name"])

    def other_token(self, name: str) -> str:
        made = created(self.c2.served.http.post("/v1/tokens", json={"name": name, "grants": ADMIN, "lifetime_s": None}))
        return str(made["token"])

    def other_profile(self, name: str) -> None:
        ok(
            "login",
            self.url,
            "--profile",
            name,
            "--token-file",
            self.private("t", self.other_token(name)),
            env=self.env,
        )

    def private(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o600)
        return file


@pytest.fixture
def user(tmp_path: Path, sk: C2) -> User:
    return User(tmp_path, sk)


def test_who_has_logged_in_says_no_more_where_the_c2_is(user: User) -> None:
    user.login()
    assert user.asks() == "admin"
    assert stat.S_IMODE(user.file("default").stat().st_mode) == 0o600
    assert stat.S_IMODE(user.file("default").parent.stat().st_mode) == 0o700
    assert ok("topics", "list", env=user.env) is not None


def test_profiles_are_chosen_by_option_by_variable_and_by_default(user: User) -> None:
    user.login()
    user.other_profile("plant")
    user.other_profile("lab")
    assert user.asks() == "admin"
    assert user.asks(E4_PROFILE="plant") == "plant"
    assert user.asks("--profile", "lab", E4_PROFILE="plant") == "lab"
    assert user.asks("--profile", "lab", E4_URL="http://127.0.0.1:1", E4_TOKEN="e4_x") == "lab"


def test_a_token_never_goes_where_another_one_belongs(user: User) -> None:
    """A profile is taken as a whole or not at all."""
    user.login()
    user.other_profile("plant")
    nobody = "http://127.0.0.1:1"
    for more in (["--url", nobody], ["--token-file", user.token_file], ["--ca", "x.pem"]):
        assert "leave it out" in refused(2, "whoami", "--profile", "plant", *more, env=user.env)
    both = {**user.env, "E4_PROFILE": "plant"}
    assert "unset one" in refused(3, "whoami", env={**both, "E4_URL": nobody})
    assert "unset one" in refused(3, "whoami", env={**both, "E4_TOKEN": "e4_x"})
    assert user.asks("--url", user.url, "--token-file", user.token_file, E4_PROFILE="plant") == "admin"
    assert user.asks(E4_URL=user.url, E4_TOKEN=user.other_token("the variable")) == "the variable"
    for place in ({"E4_URL": user.url}, {"E4_DATA": str(user.folder)}):
        assert "a token is needed" in refused(18, "whoami", env={**user.env, **place})


def test_what_the_c2_does_not_let_in_is_not_stored(user: User) -> None:
    wrong = user.private("wrong", "e4_wrong")
    assert "does not take the token" in refused(10, "login", user.url, "--token-file", wrong, env=user.env)
    assert "no C2 answers" in refused(17, "login", "http://127.0.0.1:1", "--token-file", user.token_file, env=user.env)
    assert not user.file("default").exists()
    user.login()
    before = user.file("default").read_bytes()
    refused(10, "login", user.url, "--token-file", wrong, env=user.env)
    assert user.file("default").read_bytes() == before


def test_profiles_are_listed_and_forgotten_and_no_token_is_shown(user: User) -> None:
    user.login()
    user.login("--profile", "plant")
    told = [ok("login", "--list", "-o", output, env=user.env).decode() for output in ("table", "json", "csv")]
    assert [row["profile"] for row in json.loads(told[1])] == ["default", "plant"]
    assert [row["shows"] for row in json.loads(told[1])] == ["token", "token"]
    assert user.c2.served.token not in "".join(told)
    assert user.c2.served.token not in ok("login", user.url, "--token-file", user.token_file, env=user.env).decode()
    ok("logout", env=user.env)
    assert [row["profile"] for row in answer("login", "--list", env=user.env)] == ["plant"]
    assert "--list" in refused(8, "logout", env=user.env)
    assert "e4 login URL --profile lab" in refused(8, "whoami", "--profile", "lab", env=user.env)


@pytest.mark.parametrize("name", ["", "../x", ".x", "a/b", "x" * 65, "ü"])
def test_a_profile_has_a_name_that_is_a_file(user: User, name: str) -> None:
    assert "a profile is named" in refused(
        3, "login", user.url, "--token-file", user.token_file, "--profile", name, env=user.env
    )


def test_one_that_others_may_read_or_that_is_none_is_refused(user: User) -> None:
    user.login()
    user.file("default").chmod(0o644)
    assert "open to others" in refused(18, "whoami", env=user.env)
    user.file("default").chmod(0o600)
    for text in ("", "[]", "{}", '{"url": 1, "ca": 2, "token": 3}', '{"url": "x", "ca": null}'):
        user.file("default").write_text(text)
        assert "no profile" in refused(3, "whoami", env=user.env)
    (row,) = answer("login", "--list", env=user.env)
    assert "no profile" in row["problem"]


def test_a_token_is_asked_at_a_terminal_without_an_echo(user: User) -> None:
    assert "--token-file" in refused(3, "login", user.url, env=user.env)
    shell = shlex.join([*PROGRAM, "login", user.url])
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])))"
    with subprocess.Popen(
        [sys.executable, "-c", spawn, shell],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(user.env),
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        prompt = b""
        while not prompt.endswith(b"token: "):
            prompt += terminal.stdout.read(1)
        terminal.stdin.write(user.c2.served.token.encode() + b"\n")
        terminal.stdin.flush()
        assert user.c2.served.token.encode() not in terminal.stdout.read()
        assert terminal.wait(30) == 0
    assert user.asks() == "admin"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("others")


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Path, Path]:
    made = Authority(folder).pair("ops", x509.DNSName("ops.example"))
    made.key.chmod(0o600)
    return made.certificate, made.key


@pytest.fixture(scope="module")
def others(folder: Path, pair: tuple[Path, Path], issuer: Issuer) -> Iterator[Served]:
    """A C2 that knows people by certificates of a CA and by tokens of an issuer."""
    tls = self_signed(folder)
    settings = settings_in(
        folder, tls_client_ca=folder / "ca.pem", oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **tls
    )
    with serving(settings) as c2:
        env = {"E4_URL": c2.started.url, "E4_TOKEN": c2.token, "E4_CA": str(tls["tls_certificate"])}
        ok("identity", "create", "ops", "--san", "dns:ops.example", "--role", "viewer", env=env)
        ok("identity", "create", "ann", "--subject", "ann", "--role", "viewer", "--issuer", issuer.url, env=env)
        yield c2


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_a_certificate_is_shown(others: Served, pair: tuple[Path, Path], folder: Path, env: dict[str, str]) -> None:
    by = ("--certificate", pair[0], "--key", pair[1], "--ca", others.settings.tls_certificate or "")
    ok("login", others.started.url, *by, env=env)
    assert answer("whoami", env=env)["kind"] == "certificate"
    assert answer("login", "--list", env=env)[0]["shows"] == "certificate"
    assert "https" in refused(3, "login", "http://127.0.0.1:1", *by, env=env)
    assert "no certificate and its key" in refused(
        18, "login", others.started.url, "--certificate", folder / "ca.pem", *by[2:], env=env
    )
    pair[1].chmod(0o644)
    assert "open to others" in refused(18, "whoami", env=env)
    pair[1].chmod(0o600)


def test_a_command_gives_the_token_of_an_issuer_each_time(
    others: Served, issuer: Issuer, tmp_path: Path, env: dict[str, str]
) -> None:
    token = tmp_path / "token"
    by = ("--token-command", f"cat {token}", "--ca", others.settings.tls_certificate or "")
    assert "gives no token: status 1" in refused_late(1, "login", others.started.url, *by, env=env)
    token.write_text(issuer.token())
    ok("login", others.started.url, *by, env=env)
    assert answer("whoami", env=env)["name"] == "ann"
    token.write_text(issuer.token(exp=1))
    assert e4("whoami", env=env).returncode == 10
    token.write_text(issuer.token("rsa"))
    assert answer("whoami", env=env)["kind"] == "oidc"
    for bad in ("no-such-program", "'", ""):
        assert "gives no token" in refused(1, "login", others.started.url, "--token-command", bad, *by[2:], env=env)


def test_one_way_to_be_known_is_chosen(others: Served, env: dict[str, str]) -> None:
    for more in (["--token-file", "a", "--token-command", "b"], ["--certificate", "a"], ["--key", "a"]):
        refused(2, "login", others.started.url, *more, env=env)


class Browser:
    """The person, and the part of the issuer that speaks with the terminal (RFC 8628). ``answers``: to the next questions."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.forms, self.answers = issuer, list[dict[str, str]](), list[dict[str, Any]]()
        self.pause_s = 0.0
        about = json.loads(issuer.documents["/.well-known/openid-configuration"])
        about |= {"token_endpoint": f"{issuer.url}/token", "device_authorization_endpoint": f"{issuer.url}/device"}
        issuer.documents["/.well-known/openid-configuration"] = json.dumps(about).encode()
        issuer.posts = {"/device": self._device, "/token": self._token}

    def _device(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.forms.append(form)
        page = {"verification_uri": f"{self.issuer.url}/device", "user_code": "WDJB-MJHT"}
        return 200, {"device_code": "secret-code", "expires_in": 60, "interval": 0.01, **page}

    def _token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.forms.append(form)
        time.sleep(self.pause_s)
        answer = self.answers.pop(0)
        return (400 if "error" in answer else 200), answer


@pytest.fixture
def browser(issuer: Issuer) -> Iterator[Browser]:
    yield Browser(issuer)
    issuer.publish()


def tokens(issuer: Issuer, refresh: str | None, **claims: Any) -> dict[str, Any]:
    return {"id_token": issuer.token(**claims), "access_token": "opaque", "refresh_token": refresh, "expires_in": 60}


def test_somebody_signs_in_at_an_issuer_and_stays_so(others: Served, browser: Browser, env: dict[str, str]) -> None:
    issuer, soon = browser.issuer, int(time.time()) + 10
    by = ("--issuer", issuer.url, "--client-id", "e4-cli", "--ca", others.settings.tls_certificate or "")
    browser.answers = [{"error": "authorization_pending"}, tokens(issuer, "first", exp=soon)]
    done = e4("login", others.started.url, *by, env=env)
    assert (done.returncode, "WDJB-MJHT" in done.stderr.decode()) == (0, True), done.stderr
    assert browser.forms[0] == {"client_id": "e4-cli", "scope": "openid offline_access"}
    assert browser.forms[-1]["device_code"] == "secret-code"
    assert answer("login", "--list", env=env)[0]["shows"] == "sign-in"

    browser.answers = [tokens(issuer, "second", exp=soon), tokens(issuer, None)]
    for used in ("first", "second"):  # each is taken once
        assert answer("whoami", env=env)["name"] == "ann"
        assert browser.forms[-1] == {"grant_type": "refresh_token", "refresh_token": used, "client_id": "e4-cli"}
    asked = len(browser.forms)
    assert answer("whoami", env=env)["name"] == "ann"
    assert len(browser.forms) == asked, "a token that is valid needs no other"


def test_two_commands_renew_a_sign_in_once(others: Served, browser: Browser, env: dict[str, str]) -> None:
    by = ("--issuer", browser.issuer.url, "--client-id", "x", "--ca", others.settings.tls_certificate or "")
    browser.answers = [tokens(browser.issuer, "first", exp=int(time.time()) + 10), tokens(browser.issuer, "second")]
    ok("login", others.started.url, *by, env=env)
    browser.pause_s = 0.5
    with ThreadPoolExecutor() as threads:
        assert [done.returncode for done in threads.map(lambda _: e4("whoami", env=env), range(3))] == [0, 0, 0]
    assert sum("refresh_token" in form for form in browser.forms) == 1


def test_a_sign_in_that_ends_is_told(others: Served, browser: Browser, env: dict[str, str]) -> None:
    by = ("--issuer", browser.issuer.url, "--client-id", "x", "--ca", others.settings.tls_certificate or "")
    browser.answers = [{"error": "access_denied"}]
    assert "access_denied" in refused_late(10, "login", others.started.url, *by, env=env)
    browser.answers = [tokens(browser.issuer, "first", exp=int(time.time()) + 10), {"error": "invalid_grant"}]
    ok("login", others.started.url, *by, env=env)
    assert "sign in again with e4 login" in refused(10, "whoami", env=env)
    browser.answers = [tokens(browser.issuer, None, exp=int(time.time()) + 10)]
    ok("login", others.started.url, *by, env=env)
    assert "sign in again with e4 login" in refused(10, "whoami", env=env)
    browser.answers = [{"access_token": 7}]
    assert "without access_token" in refused_late(17, "login", others.started.url, *by, env=env)


def test_an_issuer_that_cannot_do_this_is_told(others: Served, issuer: Issuer, env: dict[str, str]) -> None:
    for url, said in (
        (issuer.url, "--token-command"),
        (f"{issuer.url}/other", "no issuer"),
        ("http://127.0.0.1:1", "asked"),
    ):
        assert said in refused(17, "login", others.started.url, "--issuer", url, "--client-id", "x", env=env)
    assert "use https" in refused(
        3, "login", others.started.url, "--issuer", "http://a.example", "--client-id", "x", env=env
    )
    for half in (["--issuer", issuer.url], ["--client-id", "x"]):
        refused(2, "login", others.started.url, *half, env=env)


def refused_late(code: int, *arguments: str | Path, env: dict[str, str]) -> str:
    """The last line of a run that fails after a program of the user has had its say."""
    done = e4(*arguments, env=env)
    assert (done.returncode, done.stdout) == (code, b""), done
    return done.stderr.decode().splitlines()[-1]
