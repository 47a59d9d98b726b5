"""The contents of docs/control-plane.yaml, for tests: its structure, and whether a JSON value matches one of
its schemas. Knows the keywords that the document uses, and refuses others, so that none is ignored
silently."""

import pathlib
import re

import yaml

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/control-plane.yaml"
_SAYS_NOTHING = {"description", "examples", "default"}
_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}


def load():
    return yaml.safe_load(DOCUMENT.read_text())


def resolve(document, node):
    """The node itself, or the target of its $ref."""
    while isinstance(node, dict) and "$ref" in node:
        assert set(node) == {"$ref"} and node["$ref"].startswith("#/"), node
        target = document
        for part in node["$ref"][2:].split("/"):
            target = target[part]
        node = target
    return node


def _is(value, name):
    if name == "integer" and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[name])


def errors(document, schema, value, at="$"):
    """The errors of the value, as a list of sentences."""
    schema = resolve(document, schema)
    found, rest = [], {k: v for k, v in schema.items() if k not in _SAYS_NOTHING}
    types = rest.pop("type", None)
    if types is not None and not any(_is(value, t) for t in ([types] if isinstance(types, str) else types)):
        return [f"{at}: {value!r} is no {types}"]
    if "oneOf" in rest and sum(not errors(document, s, value, at) for s in rest.pop("oneOf")) != 1:
        found.append(f"{at}: {value!r} is not exactly one of its kinds")
    if "enum" in rest and value not in rest.pop("enum"):
        found.append(f"{at}: {value!r} is none of its values")
    rest.pop("enum", None), rest.pop("oneOf", None)
    bounds = {"minimum": (int, lambda v, n: v >= n), "maximum": (int, lambda v, n: v <= n),
              "minLength": (str, lambda v, n: len(v) >= n), "maxLength": (str, lambda v, n: len(v) <= n),
              "pattern": (str, lambda v, n: re.search(n, v) is not None),
              "minItems": (list, lambda v, n: len(v) >= n), "maxItems": (list, lambda v, n: len(v) <= n),
              "uniqueItems": (list, lambda v, n: len(set(map(str, v))) == len(v))}
    for keyword, (kind, holds) in bounds.items():
        limit = rest.pop(keyword, None)
        if limit is not None and isinstance(value, kind) and not holds(value, limit):
            found.append(f"{at}: {value!r} breaks {keyword} {limit}")
    required, properties, items = rest.pop("required", ()), rest.pop("properties", {}), rest.pop("items", None)
    if isinstance(value, dict):
        found += [f"{at}: {name} is missing" for name in required if name not in value]
        for name, inner in properties.items():
            if name in value:
                found += errors(document, inner, value[name], f"{at}.{name}")
    if isinstance(value, list) and items is not None:
        for i, element in enumerate(value):
            found += errors(document, items, element, f"{at}[{i}]")
    assert not rest, f"openapi.py does not know {sorted(rest)}"
    return found


def operations(document):
    """(method, path, operation) of all paths."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def operation_of(document, method, path):
    """The operation of a call, or None."""
    for its_method, its_path, operation in operations(document):
        pattern = re.sub(r"\{id\}", r"[a-z0-9](?:[a-z0-9_-]{0,55}[a-z0-9])?", its_path)
        if method == its_method and re.fullmatch(pattern, path):
            return operation
    return None


def response_schema(document, operation, status):
    """The schema of an answer's JSON (None: it has no body to be read); KeyError for an unforeseen status."""
    responses = operation["responses"]
    key = str(status) if str(status) in responses else f"{status // 100}XX"
    content = resolve(document, responses[key]).get("content")
    return content["application/json"]["schema"] if content else None
