"""Settings that hold for every test."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres.plugin"]

# Examples that touch a database vary in time with the machine; a slow one is not a wrong one.
settings.register_profile("queuectl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("queuectl")
