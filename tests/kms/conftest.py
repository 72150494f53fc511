# SPDX-License-Identifier: Apache-2.0
"""The software tokens of a session. Their modules and folders belong to the whole process, so all tests of it share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kms.pkcs11.tokens import TOKENS, Token

AnyToken = Callable[[str], Token]


@pytest.fixture(scope="session")
def any_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyToken]:
    """Gives the token of a name in `TOKENS`; started when it is asked for first."""
    running: dict[str, Token] = {}

    def any_token(name: str) -> Token:
        if name not in running:
            running[name] = TOKENS[name](tmp_path_factory.mktemp(name))
        return running[name]

    yield any_token
    for token in running.values():
        token.end()
