# SPDX-License-Identifier: Apache-2.0
"""``python -m e4cli`` is ``e4``."""

from e4cli.start import main

main()
