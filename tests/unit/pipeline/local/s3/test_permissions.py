"""The short way to a decision, and the permissions that are looked up once, say the same as the long ways."""

from __future__ import annotations

from math import inf

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.local.identity import documents, objects
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.policies import Principal, Request, decide, statements
from pipeline.local.s3.buckets import Buckets
from pipeline.local.s3.callers import Caller
from pipeline.local.s3.calls import call_of
from pipeline.local.s3.framing import Head
from pipeline.local.s3.needs import needs_of
from pipeline.local.s3.permissions import Permissions

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
CALLER = Caller(Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", ROLE), "secret", inf, None)
ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "S3:get*", "s3:*", "*"]
RESOURCES = ["arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k", "arn:aws:s3:::${aws:PrincipalAccount}/*", "*"]
CONDITIONS = [{}, {"StringLike": {"s3:prefix": "k*"}}, {"Bool": {"aws:SecureTransport": "false"}}]
STATEMENTS = st.builds(
    lambda effect, action, resource, condition: {
        "Effect": effect, "Action": action, "Resource": resource, **({"Condition": condition} if condition else {}),
    },
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    st.sampled_from(CONDITIONS),
)  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(STATEMENTS, max_size=5),
    st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:ListBucket"]),
    st.sampled_from(["arn:aws:s3:::b/k", "arn:aws:s3:::b", f"arn:aws:s3:::{ACCOUNT}/k"]),
    st.sampled_from(["k1", "x"]),
)
def test_the_short_way_decides_as_the_evaluation_does(tmp_path, elements, action, resource, prefix):
    identity = {"p": {"Version": "2012-10-17", "Statement": elements}}
    documents.write(tmp_path, {ROLE: RolePolicies(identity=identity)})
    context = {"s3:prefix": prefix, "aws:securetransport": "true", "aws:resourceaccount": ACCOUNT,
               "aws:principalaccount": ACCOUNT}  # fmt: skip
    request = Request(CALLER.principal, action, resource, context)
    permissions = Permissions(tmp_path, Buckets(tmp_path, "us-east-1"))
    assert permissions.decide(request, CALLER) == decide(request, statements(identity))


METHODS = st.sampled_from(["GET", "HEAD", "PUT", "DELETE"])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["host", "range", "authorization", "x-amz-security-token", "x-amz-tagging", "x-amz-acl", "if-match"]
    ),
    st.sampled_from(["a", "public-read"]),
    max_size=4,
)


@settings(max_examples=200)
@given(METHODS, st.sampled_from(["/b/k", "/b/a%20b*", "/b", "/b/k?tagging", "/b?prefix=x"]), HEADERS)
def test_permissions_looked_up_once_are_those_of_each_request(method, target, headers):
    head = Head(b"", method, target, headers, 0, True)

    def asked(find):
        try:
            return find()
        except objects.UnresolvedError:
            return None

    wanted = asked(lambda: objects.operation_of(method, target, headers))
    needed = asked(lambda: needs_of(call_of(head), head, None))
    if wanted is None:
        assert needed is None
    else:
        assert needed == (wanted[0], objects.needs(*wanted))


def test_versions_of_a_batch_are_objects_with_a_version():
    head = Head(b"", "POST", "/b?delete", {}, 0, True)
    call = call_of(head)
    assert needs_of(call, head, ("k", "")) == ("DeleteObjects", [("s3:DeleteObject", "arn:aws:s3:::b/k", {})])
    (need,) = needs_of(call, head, ("k", "v"))[1]
    assert need == ("s3:DeleteObjectVersion", "arn:aws:s3:::b/k", {"s3:versionid": "v"})
