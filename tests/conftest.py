from hypothesis import settings

pytest_plugins = ["twite.testing.plugin"]

# A deadline would be a timed assertion: on a busy machine it fails for no fault of the code.
settings.register_profile("twite", deadline=None)
settings.load_profile("twite")
