from twite.http.authorization import NonceMemory

START = 1_795_600_000


def test_a_nonce_is_good_once():
    nonces = NonceMemory(seconds=600)

    assert nonces.use("token", "n1", now=START)
    assert not nonces.use("token", "n1", now=START)


def test_nonces_of_different_tokens_are_different():
    nonces = NonceMemory(seconds=600)

    assert nonces.use("one", "n1", now=START)
    assert nonces.use("other", "n1", now=START)


def test_a_nonce_is_remembered_for_the_whole_window():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "first", now=START)
    nonces.use("token", "n1", now=START + 599)

    assert not nonces.use("token", "n1", now=START + 599 + 600)


def test_a_nonce_is_forgotten_after_twice_the_window():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)
    nonces.use("token", "n2", now=START + 600)

    assert nonces.use("token", "n1", now=START + 1_200)


def test_all_is_forgotten_after_a_long_silence():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)

    assert nonces.use("token", "n1", now=START + 1_200)


def test_a_clock_put_back_forgets_nothing():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)
    nonces.use("token", "n2", now=START - 10_000)

    assert not nonces.use("token", "n1", now=START - 9_500)
    assert not nonces.use("token", "n1", now=START - 9_401)
