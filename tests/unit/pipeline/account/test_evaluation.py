"""Templates as CloudFormation reads them: tags, parameters, conditions, functions and the order of resources."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ROOT
from pipeline.account.deploy_function import code_key, function_zip
from pipeline.aws.cloudformation import ResolvedTemplate, TemplateError, ordered, read
from pipeline.settings.file import load_settings

TEMPLATE = """
Parameters:
  Name: {Type: String}
  Days: {Type: Number, Default: 14}
  Zones: {Type: CommaDelimitedList, Default: "a, b"}
  Size: {Type: String, Default: small, AllowedValues: [small, large]}
  Code: {Type: String, Default: "1", AllowedPattern: "[0-9]+"}
Conditions:
  Large: !Equals [!Ref Size, large]
  Either: !Or [!Condition Large, !Equals [!Ref Name, bins]]
  Neither: !Not [!Condition Either]
  Both: !And [!Condition Either, !Not [!Condition Large]]
Resources:
  Queue: {Type: AWS::SQS::Queue, Condition: Large}
  Topic: {Type: AWS::SNS::Topic}
"""
PSEUDO = {"AWS::Region": "us-east-1"}


def evaluation(**values: str) -> ResolvedTemplate:
    return ResolvedTemplate(read(TEMPLATE), {"Name": "bins", **values}, PSEUDO)


def value(text: str, **values: str) -> Any:
    return evaluation(**values).value(read(f"Resources: {{X: {{Y: {text}}}}}")["Resources"]["X"]["Y"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("!Ref Name", "bins"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref Zones", ["a", "b"]),
        ("!Ref Topic", "{Topic}"),
        ("!GetAtt Topic.TopicArn", "{Topic.TopicArn}"),
        ('!Sub "${Name}-${Topic.TopicName}-${!Literal}"', "bins-{Topic.TopicName}-${Literal}"),
        ('!Sub ["${Name}/${own}", {own: !Ref Days}]', "bins/14"),
        ('!Join ["-", [!Ref Name, x]]', "bins-x"),
        ("!Select [1, !Ref Zones]", "b"),
        ('!Split [",", "x,y"]', ["x", "y"]),
        ("!If [Large, big, !Ref Name]", "bins"),
        ("[1, !If [Large, 2, !Ref AWS::NoValue], 3]", [1, 3]),
        ("{kept: 1, gone: !Ref AWS::NoValue}", {"kept": 1}),
        ("2012-10-17", "2012-10-17"),
    ],
)
def test_a_function_comes_to_what_cloudformation_makes_of_it(text: str, wanted: Any) -> None:
    assert value(text) == wanted


def test_a_resource_whose_condition_does_not_hold_is_not_there() -> None:
    assert list(evaluation().resources()) == ["Topic"]
    assert list(evaluation(Size="large").resources()) == ["Queue", "Topic"]


def test_conditions_are_made_of_conditions() -> None:
    small, large = evaluation(), evaluation(Size="large", Name="other")
    assert [small.condition(one) for one in ("Either", "Neither", "Both")] == [True, False, True]
    assert [large.condition(one) for one in ("Either", "Neither", "Both")] == [True, False, False]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Colour": "red"}, r"\[Colour\] do not exist in the template"),
        ({"Size": "medium"}, "'Size' must be one of AllowedValues"),
        ({"Days": "many"}, "'Days' must be a number"),
        ({"Code": "x"}, "must match pattern"),
    ],
)
def test_a_parameter_that_cloudformation_would_refuse_is_refused(values: dict[str, str], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        evaluation(**values)


def test_a_parameter_without_a_value_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"\[Name\] must have values"):
        ResolvedTemplate(read(TEMPLATE), {}, PSEUDO)


@pytest.mark.parametrize("text", ["", "Resources: {}", "[1, 2]", "Resources: {a: [}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        read(text)


def test_a_tag_of_python_is_no_function_of_a_template() -> None:
    with pytest.raises(TemplateError, match="could not determine a constructor"):
        read("Resources: {X: !!python/object/apply:os.system [ls]}")


@given(st.data())
def test_each_resource_stands_behind_those_it_needs(data: st.DataObject) -> None:
    names = [f"R{number}" for number in range(data.draw(st.integers(1, 8)))]
    needs = {
        name: data.draw(st.sets(st.sampled_from(names[:index] or [""]))) - {""} for index, name in enumerate(names)
    }
    shuffled = data.draw(st.permutations(names))
    order = ordered({name: {"Properties": [{"Ref": one} for one in needs[name]]} for name in shuffled})
    assert sorted(order) == sorted(names)
    assert all(order.index(one) < order.index(name) for name in names for one in needs[name])


def test_the_functions_code_is_the_same_bytes_each_time_and_its_key_follows_them() -> None:
    settings = load_settings(ROOT / "pipeline.yaml", "dev")
    code = function_zip()
    assert code == function_zip()
    assert code_key(settings, code).startswith("bin-counting-code/deploy-")
    assert code_key(settings, code) != code_key(settings, code + b"x")
