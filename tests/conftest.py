"""How property tests run: without a word on time, which machines differ in."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("ciguard", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ciguard")
