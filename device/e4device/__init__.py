# SPDX-License-Identifier: Apache-2.0
"""What runs on a device: its state file, its key files, and the loop between a client and a broker."""
