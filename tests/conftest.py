# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the whole tree of tests."""

pytest_plugins = ["tests.servers"]
