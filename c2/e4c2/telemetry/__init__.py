# SPDX-License-Identifier: Apache-2.0
"""What a running C2 tells of itself: its log, its metrics, its traces. It knows nothing of what the C2 does."""
