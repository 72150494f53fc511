# SPDX-License-Identifier: Apache-2.0
"""The gRPC API: another door to the HTTP application. It is loaded only where the settings name a port for it."""
