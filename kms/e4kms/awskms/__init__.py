# SPDX-License-Identifier: Apache-2.0
"""The driver of ``awskms:`` URIs: a symmetric key of AWS KMS.

`e4kms.awskms.address` tells what stands in the URI; credentials come from where boto3 looks for them, never from there. They need
the permissions kms:Encrypt and kms:Decrypt on the key; for `rewrap` also kms:ReEncryptFrom and kms:ReEncryptTo; for `create_key`
kms:DescribeKey, kms:CreateKey and kms:CreateAlias.
"""

from e4kms.awskms.driver import CONTEXT_NAME, MECHANISM, AwsKms, open_kms

__all__ = ["CONTEXT_NAME", "MECHANISM", "AwsKms", "open_kms"]
