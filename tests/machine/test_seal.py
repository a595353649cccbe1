import pytest

from twite.domain.errors import NotOpened
from twite.domain.secret import Secret
from twite.machine.seal import AesSeal

KEY = Secret("a-key-that-nobody-will-guess")
OTHER = Secret("another-key-that-nobody-will-guess")
SECRET = b"kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"


def test_sealed_secret_can_be_opened_under_its_name():
    sealed = AesSeal(KEY).close("stape/o8z6j", SECRET)

    assert AesSeal(KEY).open("stape/o8z6j", sealed) == SECRET
    assert SECRET not in sealed


def test_same_secret_is_sealed_differently_each_time():
    seal = AesSeal(KEY)

    assert seal.close("stape/o8z6j", SECRET) != seal.close("stape/o8z6j", SECRET)


def test_sealed_secret_cannot_be_opened_under_another_name():
    seal = AesSeal(KEY)

    with pytest.raises(NotOpened):
        seal.open("stape/p2", seal.close("stape/o8z6j", SECRET))


@pytest.mark.parametrize("place", [0, 1, 4, 5, 16, 17, 30, -1])
def test_sealed_secret_with_a_changed_bit_cannot_be_opened(place):
    sealed = bytearray(AesSeal(KEY).close("stape/o8z6j", SECRET))
    sealed[place] ^= 1

    with pytest.raises(NotOpened):
        AesSeal(KEY).open("stape/o8z6j", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 20])
def test_truncated_sealed_secret_cannot_be_opened(sealed):
    with pytest.raises(NotOpened):
        AesSeal(KEY).open("stape/o8z6j", sealed)


def test_secret_sealed_with_a_former_key_can_be_opened_and_is_recognized():
    sealed = AesSeal(OTHER).close("stape/o8z6j", SECRET)

    seal = AesSeal(KEY, (OTHER,))

    assert seal.open("stape/o8z6j", sealed) == SECRET
    assert not seal.is_current(sealed)
    assert seal.is_current(seal.close("stape/o8z6j", SECRET))


def test_secret_sealed_with_a_missing_key_names_the_key_and_a_fix():
    sealed = AesSeal(OTHER).close("stape/o8z6j", SECRET)

    with pytest.raises(NotOpened) as caught:
        AesSeal(KEY).open("stape/o8z6j", sealed)

    assert str(caught.value) == (
        f"stape/o8z6j was encrypted with the key {sealed[1:5].hex()}, which is not configured: "
        "add that key to server.former_secret_keys"
    )


def test_repr_of_a_seal_hides_its_key():
    assert "guess" not in repr(AesSeal(KEY))
