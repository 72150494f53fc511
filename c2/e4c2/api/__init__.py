# SPDX-License-Identifier: Apache-2.0
"""The HTTP API of a C2: everything under ``/v1``, JSON in and out, a token with every request."""
