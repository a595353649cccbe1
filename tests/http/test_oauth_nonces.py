from twite.http.authorization import NonceMemory

START = 1_795_600_000


def test_oauth_nonce_is_accepted_once():
    nonces = NonceMemory(seconds=600)

    assert nonces.use("token", "n1", now=START)
    assert not nonces.use("token", "n1", now=START)


def test_oauth_nonces_are_separate_for_each_token():
    nonces = NonceMemory(seconds=600)

    assert nonces.use("one", "n1", now=START)
    assert nonces.use("other", "n1", now=START)


def test_oauth_nonce_is_remembered_for_the_whole_time_window():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "first", now=START)
    nonces.use("token", "n1", now=START + 599)

    assert not nonces.use("token", "n1", now=START + 599 + 600)


def test_oauth_nonce_is_forgotten_after_twice_the_time_window():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)
    nonces.use("token", "n2", now=START + 600)

    assert nonces.use("token", "n1", now=START + 1_200)


def test_all_oauth_nonces_are_forgotten_after_a_long_pause():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)

    assert nonces.use("token", "n1", now=START + 1_200)


def test_oauth_nonce_is_remembered_if_the_clock_is_set_back():
    nonces = NonceMemory(seconds=600)
    nonces.use("token", "n1", now=START)
    nonces.use("token", "n2", now=START - 10_000)

    assert not nonces.use("token", "n1", now=START - 9_500)
    assert not nonces.use("token", "n1", now=START - 9_401)
