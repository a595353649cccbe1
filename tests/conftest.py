pytest_plugins = ["twite.testing.plugin"]
