# SPDX-License-Identifier: Apache-2.0
"""How devices become clients: many at a time, or by themselves with an enrolment token."""
