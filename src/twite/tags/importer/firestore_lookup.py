"""The variable Firestore Lookup (`fs`) of an export: a template of Twite's own, which runs it.

An export does not contain the code of this variable, but its parameters name a call that templates
can make. A query's parameters are those of a real export [seen
gtm-templates-knowit-experience/sgtm-ga4-ecom-item-list-promo-attribution@d0d3804]. For a document,
only the labels of the form are public, so several names are read [guess].
"""

from typing import Final

from twite.tags.importer.reading import LeftOut, flag_in, rows_in, text_in
from twite.tags.json_tree import Tree

WORD: Final = "fs"
NAME: Final = "Firestore Lookup"
TEXT: Final = """___INFO___

{
  "type": "MACRO",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Firestore Lookup",
  "description": "Returns a value of a Firestore document. Twite runs imported variables of this type with it.",
  "containerContexts": ["SERVER"]
}


___TEMPLATE_PARAMETERS___

[
  {"type": "RADIO", "name": "operation", "displayName": "Lookup type", "defaultValue": "read", "radioItems": [
    {"value": "read", "displayValue": "Document path"},
    {"value": "query", "displayValue": "Collection path and query"}]},
  {"type": "TEXT", "name": "documentPath", "displayName": "Document path"},
  {"type": "TEXT", "name": "collectionPath", "displayName": "Collection path"},
  {"type": "SIMPLE_TABLE", "name": "conditions", "displayName": "Query", "simpleTableColumns": [
    {"name": "field", "type": "TEXT", "displayName": "Field", "defaultValue": ""},
    {"name": "operator", "type": "TEXT", "displayName": "Operator", "defaultValue": "=="},
    {"name": "value", "type": "TEXT", "displayName": "Value", "defaultValue": ""}]},
  {"type": "TEXT", "name": "keyPath", "displayName": "Key path", "help": "Without it, the variable is the document."},
  {"type": "TEXT", "name": "projectId", "displayName": "Project ID"}
]


___SANDBOXED_JS_FOR_SERVER___

const Firestore = require('Firestore');
const logToConsole = require('logToConsole');

const valueAt = (document) => {
  if (!document) return undefined;
  let value = document.data;
  if (data.keyPath) {
    data.keyPath.split('.').forEach((key) => {
      value = value === undefined || value === null ? undefined : value[key];
    });
  }
  return value;
};
const withoutValue = (error) => {
  if (!error || error.reason !== 'not_found') logToConsole('Firestore Lookup failed:', error && error.reason);
  return undefined;
};

const options = {};
if (data.projectId) options.projectId = data.projectId;
if (data.operation !== 'query') {
  return Firestore.read(data.documentPath, options).then(valueAt).catch(withoutValue);
}
options.limit = 1;
const conditions = (data.conditions || []).map((row) => [row.field, row.operator, row.value]);
return Firestore.query(data.collectionPath, conditions, options).then((documents) => valueAt(documents[0])).catch(withoutValue);


___SERVER_PERMISSIONS___

[
  {"instance": {"key": {"publicId": "access_firestore", "versionId": "1"}, "param": [
    {"key": "allowedOptions", "value": {"type": 2, "listItem": [
      {"type": 3, "mapKey": [
        {"type": 1, "string": "projectId"}, {"type": 1, "string": "path"}, {"type": 1, "string": "operation"}],
       "mapValue": [
        {"type": 1, "string": "*"}, {"type": 1, "string": "*"}, {"type": 1, "string": "read"}]}]}}]},
   "isRequired": true},
  {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
    {"key": "environments", "value": {"type": 1, "string": "all"}}]},
   "isRequired": true}
]


___TESTS___

scenarios:
- name: Reads a key of a document
  code: |-
    const Promise = require('Promise');
    mockObject('Firestore', {read: (path, options) => {
      assertThat(path).isEqualTo('visitors/7');
      assertThat(options).isEqualTo({projectId: 'p'});
      return Promise.create((resolve) => resolve({id: '7', data: {plan: {names: ['gold']}}}));
    }});
    runCode({operation: 'read', documentPath: 'visitors/7', keyPath: 'plan.names.0', projectId: 'p'}).then((value) => {
      assertThat(value).isEqualTo('gold');
    });
- name: Reads the first document of a query
  code: |-
    const Promise = require('Promise');
    mockObject('Firestore', {query: (path, conditions, options) => {
      assertThat(conditions).isEqualTo([['id', '==', 'c1']]);
      assertThat(options).isEqualTo({limit: 1});
      return Promise.create((resolve) => resolve([{id: '1', data: {a: 1}}]));
    }});
    runCode({operation: 'query', collectionPath: 'c', conditions: [{field: 'id', operator: '==', value: 'c1'}]}).then((value) => {
      assertThat(value).isEqualTo({a: 1});
    });
- name: Is undefined without a document
  code: |-
    const Promise = require('Promise');
    mock('logToConsole', () => fail('a missing document is no error'));
    mockObject('Firestore', {
      read: () => Promise.create((resolve, reject) => reject({reason: 'not_found'})),
      query: () => Promise.create((resolve) => resolve([]))
    });
    runCode({operation: 'read', documentPath: 'a/b'}).then((value) => assertThat(value).isUndefined());
    runCode({operation: 'query', collectionPath: 'a'}).then((value) => assertThat(value).isUndefined());
"""  # noqa: E501
_DOCUMENT: Final = ("documentPath", "docPath", "path")
KNOWN: Final = frozenset(
    {"operation", "collectionPath", "queriesSimpleTable", "keyPath", "setProjectId", "projectId"}
).union(_DOCUMENT)


def fields_of(held: dict[str, Tree]) -> dict[str, Tree]:
    """Return the template's fields for a variable's parameters. Raises LeftOut."""
    keys: dict[str, Tree] = {"keyPath": text_in(held, "keyPath")}
    if flag_in(held, "setProjectId"):
        keys["projectId"] = text_in(held, "projectId")
    operation = text_in(held, "operation")
    if operation not in {"", "read", "query"}:
        raise LeftOut(f"its operation {operation} is not known to Twite")
    if operation == "query":
        place = {"operation": "query", "collectionPath": text_in(held, "collectionPath")}
        rows: list[Tree] = [
            {
                "field": text_in(row, "queryKey"),
                "operator": text_in(row, "queryOperator"),
                "value": row.get("queryValue", ""),
            }
            for row in rows_in(held, "queriesSimpleTable")
        ]
        keys["conditions"] = rows
    else:
        path = next((text for key in _DOCUMENT if (text := text_in(held, key))), "")
        place = {"operation": "read", "documentPath": path}
    if not all(place.values()):
        raise LeftOut("it names no document or collection that is known to Twite")
    return {key: value for key, value in {**place, **keys}.items() if value not in ("", [])}
