# SPDX-License-Identifier: Apache-2.0
"""The driver of ``vault+https:`` and ``vault+http:`` URIs: a transit key of HashiCorp Vault or OpenBao.

`e4kms.vault.address` tells what stands in the URI. The token needs a policy that allows ``read`` on MOUNT/keys/NAME and ``update``
on MOUNT/encrypt/NAME, MOUNT/decrypt/NAME and MOUNT/rewrap/NAME; not ``create``, or a server that lost the key makes another.
"""

from e4kms.vault.driver import MECHANISM, VaultKms, open_kms

__all__ = ["MECHANISM", "VaultKms", "open_kms"]
