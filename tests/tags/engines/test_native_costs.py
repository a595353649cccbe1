"""Single engine steps are limited: no run exceeds its time."""

import time

import pytest
import quickjs
from template_stage import ALL, call, small, template

from twite.tags.engines.quickjs.engine import QuickJsEngine

# CPU seconds: the limit is 0.1, with a margin for a busy machine. Unlimited: 1.7 s to hours.
MOST = 1.2
LONG = "const long = 'b'.repeat(65000), many = 'a'.repeat(65000), huge = '1'.repeat(3e6);\n"
PROGRAMS = {
    "replaceAll": "many.replaceAll('a', long)",
    "replaceAll at each place": "many.replaceAll('', long)",
    "replaceAll with a function": "many.replaceAll('a', () => long)",
    "replaceAll with what becomes a text": "many.replaceAll('a', { toString: () => long })",
    "replaceAll with a list": "many.replaceAll('a', [long])",
    "replaceAll of what becomes a text": "''.replaceAll.call({ toString: () => many }, 'a', long)",
    "replaceAll of a number": "'1'.repeat(65000).replaceAll(1, long)",
    "replaceAll by an expression": "many.replaceAll(/a/g, long)",
    "replace by an expression": "many.replace(/a/g, long)",
    "replace by an expression with a function": "many.replace(/a/g, () => long)",
    "replace with all that stands before": "many.replaceAll('a', '$`')",
    "replace with all that stands behind": "many.replace('a', \"$'\".repeat(65000))",
    "replace with a group": "many.replace(/(a+)/, '$1'.repeat(65000))",
    "replace with a named group": "many.replace(/(?<n>a+)/, '$<n>'.repeat(65000))",
    "replace with groups that overlap": "many.replace(/(?=(a*))/g, '$1$1')",
    "repeat": "for (;;) 'ab'.repeat({ valueOf: () => 2e6 })",
    "repeat of what becomes a text": "for (;;) ''.repeat.call({ toString: () => long }, 90)",
    "padStart": "for (;;) 'a'.padStart('4000000', 'bcd')",
    "padEnd": "for (;;) 'a'.padEnd({ valueOf: () => 4e6 }, 'bcd')",
    "concat": "for (;;) ''.concat(huge, huge)[1]",
    "concat of many": "{ const all = []; for (;;) { all.push(long); ''.concat(...all); } }",
    "join": "many.split('').join(long)",
    "split of what becomes a text": "for (;;) ''.split.call({ toString: () => many }, 'a')",
    "trimEnd": "{ const blank = ' '.repeat(3e6); for (;;) blank.trimEnd(); }",
    "trimLeft": "{ const blank = ' '.repeat(3e6); for (;;) blank.trimLeft(); }",
    "small letters of what becomes a text": "for (;;) ''.toLowerCase.call([huge])",
    "a long text sought in a list": "''.indexOf.call([huge], '1'.repeat(5e5) + '2')",
    "a list sought in a text": "huge.indexOf(['1'.repeat(5e5) + '2'])",
    "numbers of a long text": "{ const number = require('makeNumber'); for (;;) number(huge); }",
    "integers of a long text": "{ const number = require('makeInteger'); for (;;) number(huge); }",
    "the greatest of long texts": "for (;;) require('Math').max(huge, huge)",
    "digits from a long text": "for (;;) try { (1).toFixed(huge); } catch (error) {}",
    "freeze": "{ const all = huge.split('', 6e4); for (;;) require('Object').freeze(all); }",
    "stringify": "{ let one = [1]; for (let i = 0; i < 60; i++) one = [one, one]; "
    "require('JSON').stringify(one); }",
    "sort": "for (;;) huge.split('', 6e4).sort()",
    "fill": "for (;;) [].fill.call({ length: 1e9 }, 1)",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_run_ends_at_its_time_limit_whatever_one_step_does(name):
    engine = QuickJsEngine(template(LONG + PROGRAMS[name], grants=ALL), limits=small())

    begun = time.thread_time()
    turn = engine.start(call())
    took = time.thread_time() - begun

    assert turn.error is not None
    assert took < MOST


SUBJECTS = ("'abcabc'", "'a$b'", "''", "'\U0001f600b\U0001f600'")
SOUGHT = (
    "'b'",
    "''",
    "'$'",
    "/b/",
    "/(b)(c)?/g",
    "/(?<n>b)|(x)/g",
    "/(?=(b*))/g",
    "/a/gy",
    "1",
    "undefined",
)
GIVEN = (
    *("'x'", "'$$'", "'[$&]'", "'$`|'", '"$\'|"', "'$1-$2'", "'$01$10$0$00'", "'$<n>.$<m>$<n'"),
    *(
        "'$'",
        "'a$'",
        "undefined",
        "null",
        "7",
        "['$1']",
        "(...all) => all.length",
        "() => undefined",
    ),
)


@pytest.mark.parametrize("method", ["replace", "replaceAll"])
def test_limited_replace_has_the_result_of_the_native_one(method):
    texts = [
        f"{subject}.{method}({sought}, {given})"
        for subject in SUBJECTS
        for sought in SOUGHT
        for given in GIVEN
    ]
    reported = "".join(
        f"try {{ all.push({text}); }} catch (error) {{ all.push(error.name); }}\n" for text in texts
    )
    native = quickjs.Context().eval(
        f"(() => {{ const all = [];\n{reported}return JSON.stringify(all); }})()"
    )
    engine = QuickJsEngine(
        template(f"const all = [];\n{reported}return require('JSON').stringify(all);")
    )

    turn = engine.start(call())

    assert turn.error is None
    assert turn.returned == native
