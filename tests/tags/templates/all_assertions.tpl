___INFO___

{
  "type": "MACRO",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Every assertion",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___SANDBOXED_JS_FOR_SERVER___

return data.value;


___TESTS___

scenarios:
- name: Every assertion holds of something
  code: |-
    assertThat(runCode({})).isUndefined();
    assertThat(1).isDefined();
    assertThat(null).isNull();
    assertThat(1).isNotNull();
    assertThat(true).isTrue();
    assertThat(false).isFalse();
    assertThat('a').isTruthy();
    assertThat('').isFalsy();
    assertThat(0 / 0).isNaN();
    assertThat(1).isNotNaN();
    assertThat(1 / 0).isInfinity();
    assertThat(1).isNotInfinity();
    assertThat({a: [1, {b: 2}]}).isEqualTo({a: [1, {b: 2}]});
    assertThat([1, 2]).isNotEqualTo([2, 1]);
    assertThat('1').isNotEqualTo(1);
    assertThat(1).isStrictlyEqualTo(1);
    assertThat({}).isNotStrictlyEqualTo({});
    assertThat([1]).isAnyOf(2, [1]);
    assertThat([1]).isNoneOf(1, [2]);
    assertThat(2).isNotAnyOf(1, 3);
    assertThat(2).isGreaterThan(1);
    assertThat(2).isGreaterThanOrEqualTo(2);
    assertThat(1).isLessThan(2);
    assertThat(2).isLessThanOrEqualTo(2);
    assertThat([1, {a: 1}]).contains({a: 1});
    assertThat('abc').contains('b');
    assertThat({a: 1}).contains('a');
    assertThat([1, 2]).doesNotContain(3);
    assertThat([1, 2]).containsExactly(2, 1);
    assertThat([1, 2]).doesNotContainExactly(1);
    assertThat('abc').hasLength(3);
    assertThat([]).isEmpty();
    assertThat({}).isEmpty();
    assertThat('a').isNotEmpty();
    assertThat([]).isArray();
    assertThat(true).isBoolean();
    assertThat(() => 1).isFunction();
    assertThat(1).isNumber();
    assertThat({}).isObject();
    assertThat('').isString();
    assertThat(1).isDefined().isNumber().isEqualTo(1);


