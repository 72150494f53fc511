# SPDX-License-Identifier: Apache-2.0
"""The audit log: who did or tried what, when and with what outcome, so that no record can be changed or be missing unseen."""
