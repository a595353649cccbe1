from command_schemas import FILE, rendered


def test_schemas_of_commands_in_the_docs_are_current():
    assert FILE.read_bytes() == rendered(), "run make generate"
