# SPDX-License-Identifier: Apache-2.0
"""Where the C2's rows are kept: engine, migrations, first start."""
