# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect: tokens of an issuer whom the operator trusts to say who somebody is."""
