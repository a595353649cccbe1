from twite.domain.errors import NotOpened


class NamedSeal:
    """A sealed text names its key, its place and the plain text."""

    def __init__(self, key="2", *former):
        self.key, self.former = key.encode(), [each.encode() for each in former]

    def close(self, name, plain):
        return self.key + b"/" + name.encode() + b"/" + plain

    def open(self, name, sealed):
        key, place, plain = sealed.split(b"/", 2)
        if key not in (self.key, *self.former) or place != name.encode():
            raise NotOpened(name, key_id=key.decode())
        return plain

    def is_current(self, sealed):
        return sealed[:1] == self.key

    def is_former(self, sealed):
        return sealed[:1] in self.former

    def key_of(self, sealed):
        return f"key {sealed[:1].decode()}"
