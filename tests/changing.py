"""Immutable values, used as if they changed."""


class Changing:
    """Keeps the latest value: that which a method of the previous one returned.

    If a method returns a tuple that begins with a value, its other item is the result. If it
    returns nothing, it fails: it would change nothing here.
    """

    def __init__(self, value):
        self.value = value

    def __getattr__(self, name):
        found = getattr(self.value, name)
        return self._keeping(name) if callable(found) else found

    def _keeping(self, name):
        def call(*args, **options):
            # Only now, because an argument may have changed the value.
            result = getattr(self.value, name)(*args, **options)
            assert result is not None, f"{name} returned no value"
            if type(result) is type(self.value):
                self.value = result
            elif isinstance(result, tuple) and result and type(result[0]) is type(self.value):
                self.value, result = result
            return result

        return call
