# SPDX-License-Identifier: Apache-2.0
"""The driver of ``pkcs11:`` URIs (RFC 7512): a key in a hardware security module (HSM) or another PKCS#11 token.

`e4kms.pkcs11.address` tells what stands in the URI, `e4kms.pkcs11.ladder` how a token wraps. The key is made by
`Pkcs11Kms.create_key`, or by other means: AES or RSA, sensitive, not extractable, with a CKA_ID. Two tokens that hold the same keys
under the same ids, as after cloning, open each other's wraps.
"""

from e4kms.pkcs11.driver import Pkcs11Kms, open_kms
from e4kms.pkcs11.identity import TokenIdentity, open_key

__all__ = ["Pkcs11Kms", "TokenIdentity", "open_key", "open_kms"]
