"""The figures of `make house`."""

import ast

import house

TEXT = '''"""Two lines
of docstring."""

# a comment
SIZE = 1  # code

def size():
    """One line."""
    text = """
# no comment"""
    return text
'''


def test_lines_are_counted_by_kind():
    kinds = house.kinds_of(TEXT)

    assert kinds == {"all": 11, "docstring": 3, "comment": 1, "code": 5, "blank": 2}


def test_names_that_share_no_word_with_their_type_are_counted():
    tree = ast.parse("""
class PageRequest: pass
class Store: pass
def page(visit: PageRequest, requests: "PageRequest", page_request: PageRequest | None): pass
class Reader:
    ledger: Store
    sql_store: Store
    def __init__(self, url: str, many: list[Store]) -> None:
        self._behind: Store = many[0]
""")

    unlike, annotated = house.unlike_names([tree])

    assert sorted(unlike) == [("_behind", "Store"), ("ledger", "Store"), ("visit", "PageRequest")]
    assert annotated == 6


def test_constants_after_a_definition_are_counted():
    late = ["class A: pass\nSIZE = 1", "def a(): pass\n_SIZE: int = 1\nMORE = _SIZE"]
    early = ["SIZE = 1\nclass A: pass", "class A:\n    SIZE = 1", "def a(): pass\nalias = a"]
    needing = ["class A: pass\nALL = (A,)\nMORE = ALL", "class A: pass\nONLY: A = make()"]
    counts = [len(house.late_constants(ast.parse(text))) for text in late + early + needing]

    assert counts == [1, 2, 0, 0, 0, 0, 0]


def test_repeated_lines_are_counted_once_for_each_repetition():
    block = "\n".join(f"line_{number}()" for number in range(house.REPEATED + 1))

    assert house.repeated_lines([block, f"first()\n{block}"]) == house.REPEATED + 1
    assert house.repeated_lines([block, block.replace("line_3", "other")]) == 0


def test_calls_of_a_gateway_are_counted():
    # Under load, the first shop counts work of the start.
    post, _, _, delivered, locked = house.calls_of(house.ROOT, shops=2).values()

    # A delivery of one conversion takes more calls than to accept it.
    assert 50 < calls(post) < calls(delivered) / 2 < calls(locked)


def calls(figure: str) -> int:
    return int(figure.partition(" ")[0].replace(",", ""))
