# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the whole tree of tests."""

import signal

pytest_plugins = ["tests.servers"]

# a shell starts what runs in the background with ctrl-C ignored, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
