# SPDX-License-Identifier: Apache-2.0
"""Ways to a broker and back: in process, over MQTT, and a broker to embed."""
