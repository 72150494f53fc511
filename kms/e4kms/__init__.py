# SPDX-License-Identifier: Apache-2.0
"""Keys at rest: drivers of the group ``e4.kms``, one a module, and the keyring they guard."""
