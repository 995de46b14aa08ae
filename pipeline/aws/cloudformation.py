"""A CloudFormation template as data, with its functions and conditions evaluated.

The pipeline's commands read from it the resources that a stack retains; the local cloud creates stacks from it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.aws.expressions import as_text
from steps.contracts.errors import PipelineError

# Bytes of a template in a request, and in an object of S3 (1 MB there):
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LARGEST_BODY, LARGEST_OBJECT = 51_200, 1_000_000
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]*)\}")
_REMOVED = object()


class TemplateError(PipelineError):
    """A template that CloudFormation would refuse, or a function that is not supported here."""


def read(text: str) -> dict[str, Any]:
    """Parse YAML or JSON; short functions (`!Ref`) become long ones. Raises TemplateError."""
    try:
        template = yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader with CloudFormation's own tags
    except yaml.YAMLError as error:
        raise TemplateError(f"the template is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict) or not template["Resources"]:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    return template


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: with its tags, and dates left as text (a policy's Version is no date)."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value))


@dataclass
class ResolvedTemplate:
    """A template with the values of its parameters, in one account and region.

    `reference` and `attribute` return the values of `Ref` and `Fn::GetAtt` of a resource; both raise KeyError if the
    resource is missing. Raises TemplateError for a parameter that is missing, not declared, or of no allowed value.
    """

    template: Mapping[str, Any]
    given: Mapping[str, str]
    pseudo: Mapping[str, str]
    """`AWS::Region` and the like."""
    reference: Callable[[str], str] = field(default=lambda name: f"{{{name}}}")
    attribute: Callable[[str, str], str] = field(default=lambda name, attribute: f"{{{name}.{attribute}}}")

    def __post_init__(self) -> None:
        self.parameters = _parameters(self.template.get("Parameters", {}), self.given)
        self._conditions: dict[str, bool] = {}

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources whose condition is true, with their functions unevaluated."""
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if "Condition" not in resource or self.condition(resource["Condition"])
        }

    def condition(self, name: str) -> bool:
        """Whether a condition of the template is true."""
        if name not in self._conditions:
            declared = self.template.get("Conditions", {})
            if name not in declared:
                raise TemplateError(f"Template error: the condition {name} is not declared")
            self._conditions[name] = self._test(declared[name])
        return self._conditions[name]

    def value(self, value: Any) -> Any:
        """A value with its functions evaluated, without members that are `AWS::NoValue`."""
        result = self._value(value)
        return None if result is _REMOVED else result

    def _test(self, condition: Any) -> bool:
        name, argument = _single(condition)
        match name:
            case "Condition":
                return self.condition(argument)
            case "Fn::Equals":
                first, second = map(self.value, argument)
                return bool(as_text(first) == as_text(second))
            case "Fn::Not":
                return not self._test(argument[0])
            case "Fn::And":
                return all(map(self._test, argument))
            case "Fn::Or":
                return any(map(self._test, argument))
        raise TemplateError(f"Template error: {name} is no condition")

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._value, value) if item is not _REMOVED]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) and (name == "Ref" or name.startswith("Fn::")):
            return self._call(name, value[name])
        members = {key: self._value(item) for key, item in value.items()}
        return {key: item for key, item in members.items() if item is not _REMOVED}

    def _call(self, name: str, argument: Any) -> Any:  # noqa: PLR0911  # one return per function
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                resource, attribute = argument
                return self.attribute(resource, attribute)
            case "Fn::If":
                condition, yes, no = argument
                return self._value(yes if self.condition(condition) else no)
            case "Fn::Join":
                separator, items = argument
                return separator.join(map(as_text, self._value(items)))
            case "Fn::Split":
                separator, text = argument
                return self._value(text).split(separator)
            case "Fn::Select":
                index, items = argument
                return self._value(items)[int(self._value(index))]
            case "Fn::Sub":
                return self._substitute(argument)
        raise TemplateError(f"Template error: the function {name} is not supported here")

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _REMOVED
        if name in self.parameters:
            return self.parameters[name]
        if name in self.pseudo:
            return self.pseudo[name]
        return self.reference(name)

    def _substitute(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument

        def replacement(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return f"${{{name}}}"
            if name in own:
                return as_text(self._value(own[name]))
            if "." in name:
                return self.attribute(*name.split(".", 1))
            return as_text(self._reference(name))

        return _PLACEHOLDER.sub(replacement, text)


def part(template: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """A template of these resources alone, with the parameters and conditions that they use, without outputs."""
    declared = template.get("Conditions", {})
    conditions: dict[str, Any] = {}
    wanted = set(_conditions(resources))
    while new := sorted(name for name in wanted if name in declared and name not in conditions):
        conditions |= {name: declared[name] for name in new}
        wanted |= set(_conditions(conditions))
    used = {*_references(resources), *_references(conditions)}
    parameters = {name: item for name, item in template.get("Parameters", {}).items() if name in used}
    rest = {key: template[key] for key in ("AWSTemplateFormatVersion", "Description") if key in template}
    members = {"Parameters": parameters, "Conditions": conditions}
    return {**rest, **{key: value for key, value in members.items() if value}, "Resources": dict(resources)}


def dependencies(resource: Mapping[str, Any], names: Mapping[str, Any]) -> set[str]:
    """The resources among `names` that must exist before this one, by DependsOn, Ref, GetAtt and Sub."""
    explicit = resource.get("DependsOn", [])
    needed = {explicit} if isinstance(explicit, str) else set(explicit)
    return (needed | set(_references(resource.get("Properties", {})))) & set(names)


def ordered(resources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of resources, each after those it needs. Raises TemplateError for a circle."""
    needed = {name: sorted(dependencies(resource, resources) - {name}) for name, resource in resources.items()}
    try:
        return list(graphlib.TopologicalSorter(needed).static_order())
    except graphlib.CycleError as error:
        raise TemplateError(f"Circular dependency between resources: [{', '.join(error.args[1])}]") from None


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            match key:
                case "Ref" if isinstance(item, str):
                    yield item
                case "Fn::GetAtt" if isinstance(item, list):
                    yield item[0]
                case "Fn::Sub":
                    text = item if isinstance(item, str) else item[0]
                    yield from (match[2].strip().split(".")[0] for match in _PLACEHOLDER.finditer(text))
            yield from _references(item)


def _conditions(value: Any) -> Iterator[str]:
    """Names of the conditions that a part of a template uses; a policy's own `Condition` is no name."""
    if isinstance(value, list):
        for item in value:
            yield from _conditions(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            match key:
                case "Condition" if isinstance(item, str):
                    yield item
                case "Fn::If" if isinstance(item, list):
                    yield item[0]
            yield from _conditions(item)


def _parameters(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    if unknown := sorted(set(given) - set(declared)):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    if missing := sorted(name for name, item in declared.items() if "Default" not in item and name not in given):
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    return {
        name: _parameter(name, item, as_text(given.get(name, item.get("Default")))) for name, item in declared.items()
    }


def _parameter(name: str, declared: Mapping[str, Any], text: str) -> Any:
    allowed = declared.get("AllowedValues")
    if allowed is not None and text not in map(as_text, allowed):
        raise TemplateError(f"Parameter '{name}' must be one of AllowedValues")
    listed = declared["Type"] in ("CommaDelimitedList", "List<Number>") or declared["Type"].startswith("List<AWS::")
    values = [item.strip() for item in text.split(",")] if listed else [text]
    pattern = declared.get("AllowedPattern")
    if pattern and not all(re.fullmatch(pattern, value) for value in values):
        raise TemplateError(f"Parameter {name} failed to satisfy constraint: must match pattern {pattern}")
    if declared["Type"] == "Number":
        try:
            float(text)
        except ValueError:
            raise TemplateError(f"Parameter '{name}' must be a number.") from None
    return values if listed else text


def _single(condition: Any) -> tuple[str, Any]:
    if not isinstance(condition, dict) or len(condition) != 1:
        raise TemplateError(f"Template error: {condition!r} is no condition")
    return next(iter(condition.items()))
