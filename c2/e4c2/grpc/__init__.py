# SPDX-License-Identifier: Apache-2.0
"""The gRPC API: another door to the HTTP application. What is in here is loaded only where the settings name a port for it."""

import os

# the library writes lines of its own to standard error, past the log
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
