# SPDX-License-Identifier: Apache-2.0
"""The C2: the key server that registers clients and topics and drives devices with commands."""
