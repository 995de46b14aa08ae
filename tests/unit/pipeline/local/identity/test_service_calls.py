"""Actions of services with a role: those on images."""

from __future__ import annotations

from pipeline.local.identity import service_calls

URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/bins-inference:serve-0123"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/bins-inference"


def test_pulling_an_image_needs_a_token_and_looking_it_up_does_not() -> None:
    pulled = [(check.action, check.resource) for check in service_calls.image(URI)]
    assert pulled[0] == ("ecr:GetAuthorizationToken", "*")
    assert {resource for _, resource in pulled[1:]} == {REPOSITORY}
    assert [(check.action, check.resource) for check in service_calls.looked_up(URI)] == [
        ("ecr:BatchGetImage", REPOSITORY),
        ("ecr:DescribeImages", REPOSITORY),
    ]


def test_an_image_of_another_registry_needs_nothing() -> None:
    assert not list(service_calls.image("public.ecr.aws/docker/library/python:3.11"))
    assert not list(service_calls.looked_up("public.ecr.aws/docker/library/python:3.11"))
