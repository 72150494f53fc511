# SPDX-License-Identifier: Apache-2.0
"""Requirements of a key management driver (`e4core.kms`): `KMS` on a `subject`, with the `KmsHooks` of its back end."""

# importing a family enters its requirements, in this order
from e4conformance.kms import wraps, errors, secrecy, life, abilities, together  # noqa: F401, I001
from e4conformance.kms.subject import KMS, KmsHooks, KmsSubject, subject

__all__ = ["KMS", "KmsHooks", "KmsSubject", "subject"]
