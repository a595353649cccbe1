"""The files of a container with one tag, which has one secret."""

TEMPLATE = """___INFO___

{"type": "TAG", "id": "cvt_1", "displayName": "Poster", "containerContexts": ["SERVER"]}

___SANDBOXED_JS_FOR_SERVER___

data.gtmOnSuccess();
"""
CONTAINER = """
[[template]]
name = "Poster"
file = "poster.tpl"

[[tag]]
name = "Post"
template = "Poster"
triggers = ["All Events"]
[tag.secrets]
token = "%s"
"""
