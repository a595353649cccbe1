"""container.toml: writing, reading back, and errors."""

import pytest
from container_parts import condition, container, tag, template, trigger

from twite.tags.container.faults import faults
from twite.tags.container.parts import (
    ContainerClient,
    ContainerUnusable,
    Firing,
    LookupRow,
    Operator,
    SequencedTag,
    Transformation,
    ValueFormat,
    Variable,
    VariableSource,
)
from twite.tags.container.secrets import opened, places
from twite.tags.container.toml_file import TemplateFile, container_of_toml, container_text
from twite.tags.template.template import TemplateKind

OPERATORS = ", ".join(sorted(Operator))
FIX = "Put strings in quotes and table names in [brackets]"
FILES = [TemplateFile(name="Poster", file="templates/poster.tpl")]
FULL = container(
    tag(
        "Post “it”\n",
        unless=("All Events",),
        fields={"a b": 'x{{V}}"\\\x7f', "rows": [{"n": 1.5, "deep": {"x": [True, -2]}}, []]},
        secrets={"token": "env:TOKEN"},
        defaults=False,
        firing=Firing.EACH_TRIGGER,
        priority=-3,
        paused=True,
        setup=SequencedTag(tag="Last", needed=True),
        consent=("ad_storage",),
    ),
    tag("Last"),
    triggers=[
        trigger("P", condition("{{_event}}", "matches", "^a$", negate=True)),
        trigger("G", all_of=("P", "All Events")),
    ],
    variables=[
        Variable(name="C", type=VariableSource.CONSTANT, value={"kept": ["as", "it", "is"]}),
        Variable(
            name="V",
            type=VariableSource.REGEX_LOOKUP,
            input="{{_event}}",
            rows=(LookupRow(key="a", value="1"), LookupRow(key="b")),
            whole=True,
            captures=True,
            default="",
            format=ValueFormat(case="upper", instead={"null": "none"}),
        ),
    ],
    transformations=[
        Transformation(name="T", set={"a.b": "{{V}}"}, when=(condition("{{V}}", "equals", "1"),))
    ],
    clients=(ContainerClient(name="GA4", priority=1),),
    name="Shop",
)


def test_written_container_file_is_read_unchanged():
    again, files = container_of_toml(container_text(FULL, FILES))

    assert (again.tags, again.triggers, again.variables) == (
        FULL.tags,
        FULL.triggers,
        FULL.variables,
    )
    assert (again.clients, again.transformations) == (FULL.clients, FULL.transformations)
    assert (again.name, files) == ("Shop", tuple(FILES))


def test_remarks_of_an_import_are_comments_in_the_container_file():
    text = container_text(container(), [], remarks=['tag "X"\n[[tag]]\r\x00 left out'])

    assert container_of_toml(text)[0].tags == container().tags


def test_null_cannot_be_written_to_a_container_file():
    with pytest.raises(ContainerUnusable, match=r"tag\[0\].fields.rows\[1\]: is null"):
        container_text(container(tag(fields={"rows": ["a", None]})), [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[tag]]\nname="a"\ntemplate="b"\ntrigers=[]',
            "tag[0].trigers: unknown key. Did you mean 'triggers'?",
        ),
        ("[[tag]]\nname=3", "tag[0].name: must be a string, not a whole number"),
        ('[[tag]]\nname="a"', "tag[0].template: is missing"),
        ("tag=3", "tag: must be a list, not a whole number"),
        (
            '[[tag]]\nname="a"\ntemplate="b"\nsetup="c"',
            "tag[0].setup: must be a table, not a string",
        ),
        (
            '[[tag]]\nname="a"\ntemplate="b"\nfiring="onc"',
            "tag[0].firing: 'onc' is not known. Did you mean 'once'?",
        ),
        (
            '[[trigger]]\nname="a"\nwhen=[{left="",operator="is",right=""}]',
            f"trigger[0].when[0].operator: 'is' is not known. Available: {OPERATORS}",
        ),
        ("tags=[]", "tags: unknown key. Did you mean 'tag'?"),
        (
            '[[tag]]\nname="a"\ntemplate="b"\n[tag.fields]\nday=1979-05-27',
            "tag[0].fields.day: is a date or time. Write it in quotes",
        ),
        (
            "x = \n",
            f"line 1, column 5: not TOML: invalid value. {FIX}",
        ),
        (f"a={'1' * 5000}", "contains a number with too many digits"),
        (f"a={'[' * 5000}", "is nested too deeply"),
    ],
)
def test_malformed_container_file_is_refused_with_path_and_fix(text, said):
    with pytest.raises(ContainerUnusable) as refused:
        container_of_toml(text)

    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (container(tag("A"), tag("A")), "tag: 2 are called 'A'. Names must be unique"),
        (
            container(tag(triggers=("P",))),
            "tag[0].triggers[0]: there is no trigger 'P'. Available: All Events",
        ),
        (
            container(tag(unless=("P",))),
            "tag[0].unless[0]: there is no trigger 'P'. Available: All Events",
        ),
        (
            container(triggers=[trigger("G", all_of=("P",))]),
            "trigger[0].all_of[0]: there is no trigger 'P'. Available: All Events, G",
        ),
        (
            container(triggers=[trigger("G", all_of=("H",)), trigger("H", all_of=("G",))]),
            "trigger: circular dependency: G → H → G",
        ),
        (
            container(tag(template="P")),
            "tag[0].template: there is no template 'P'. Available: Poster",
        ),
        (
            container(templates={"Poster": template(kind=TemplateKind.CLIENT)}),
            "tag[0].template: 'Poster' is a CLIENT template. This part needs a TAG template",
        ),
        (
            container(tag(fields={"a": ["{{V}}"]})),
            "tag[0].fields: there is no variable 'V'. Available: _event",
        ),
        (
            container(tag(setup=SequencedTag(tag="B"))),
            "tag[0].setup: there is no tag 'B'. Available: Post",
        ),
        (
            container(tag(setup=SequencedTag(tag="Post"))),
            "tag: circular dependency: Post → Post",
        ),
        (
            container(triggers=[trigger("P", condition("{{V}}", "equals", ""))]),
            "trigger[0].when[0]: there is no variable 'V'. Available: _event",
        ),
        (
            container(triggers=[trigger("P", condition("", "matches", "(?=a)"))]),
            "trigger[0].when[0].right: not a valid RE2 expression: invalid perl operator: (?=",
        ),
        (
            container(
                variables=[Variable(name="V", type=VariableSource.RANDOM, least=1, most="few")]
            ),
            "variable[0].most: 'few' is not a number",
        ),
        (
            container(variables=[Variable(name="V", type=VariableSource.RANDOM, least="{{B}}")]),
            "variable[0]: there is no variable 'B'. Available: V, _event",
        ),
        (
            container(variables=[Variable(name="V", type=VariableSource.COOKIE)]),
            "variable[0].key: is missing. A variable with reads = 'cookie' requires it",
        ),
        (
            container(
                variables=[
                    Variable(name="A", type=VariableSource.CONSTANT, value="{{B}}"),
                    Variable(name="B", type=VariableSource.CONSTANT, value="{{A}}"),
                ]
            ),
            "variable: circular dependency: A → B → A",
        ),
        (
            container(
                variables=[
                    Variable(
                        name="A",
                        type=VariableSource.CONSTANT,
                        format=ValueFormat(case="title"),
                        value="a",
                    )
                ]
            ),
            "variable[0].format.case: 'title' is not known. Write lower or upper",
        ),
        (
            container(transformations=[Transformation(name="T")]),
            "transformation[0]: must have exactly one of exclude, allow or set",
        ),
    ],
)
def test_parts_that_do_not_match_are_named(made, said):
    assert [str(fault) for fault in faults(made)] == [said]


def test_long_chain_of_variables_is_refused_without_deep_recursion():
    chain = [
        Variable(name=f"V{at}", type=VariableSource.CONSTANT, value=f"{{{{V{at + 1}}}}}")
        for at in range(3_000)
    ]
    last = Variable(name="V3000", type=VariableSource.CONSTANT, value="end")

    said = [str(fault) for fault in faults(container(variables=[*chain, last]))]

    assert said == ["variable: more than 50 depend on one another, starting from 'V2950'"]


def test_valid_container_has_no_errors():
    assert list(faults(FULL)) == []


def test_secrets_are_inserted_at_their_paths():
    made = container(
        tag(
            fields={"rows": [{"name": "key"}]},
            secrets={"rows.0.value": "env:KEY", "token": "sealed:container/t"},
        ),
        variables=[
            Variable(name="V", type=VariableSource.CONSTANT, secrets={"value": "file:v"}),
            Variable(
                name="W",
                type=VariableSource.LOOKUP,
                input="a",
                rows=(LookupRow(key="a"),),
                secrets={"rows.0.value": "env:W"},
            ),
        ],
    )

    whole = opened(made, lambda kept: f"<{kept}>")

    assert list(places(made)) == ["env:KEY", "sealed:container/t", "file:v", "env:W"]
    assert whole.tags[0].fields == {
        "rows": [{"name": "key", "value": "<env:KEY>"}],
        "token": "<sealed:container/t>",
    }
    assert whole.variables[0].value == "<file:v>"
    assert whole.variables[1].rows == (LookupRow(key="a", value="<env:W>"),)


@pytest.mark.parametrize("path", ["rows.1.value", "rows.x", "no.where"])
def test_secret_whose_path_has_no_field_is_refused(path):
    made = container(tag(fields={"rows": [{"name": "key"}]}, secrets={path: "env:KEY"}))

    with pytest.raises(
        ContainerUnusable, match=r"tag\[0\].fields: there is no field .* for the secret"
    ):
        opened(made, str)
