"""Whether policies allow a request: IAM's policy language and evaluation logic, without any input or output.

The pages of the IAM User Guide (https://docs.aws.amazon.com/IAM/latest/UserGuide/NAME.html) that this module follows
are named where they apply. Service control and resource control policies belong to organizations and are left out.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Context = Mapping[str, str | list[str]]
Regex = re.Pattern[str]

_ELEMENTS = frozenset(
    "Sid Effect Action NotAction Resource NotResource Principal NotPrincipal Condition".split()  # noqa: SIM905
)
_WILDCARDS = {"*": ".*", "?": "."}
_WILDCARDS_IN_SEGMENT = {"*": "[^:]*", "?": "[^:]"}
_ARN_COLONS = 5
_REMEMBERED_ACTIONS = 1000
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")


class PolicyError(ValueError):
    """A policy that IAM would not store."""


@dataclass(frozen=True)
class Principal:
    """The caller of a request."""

    arn: str
    """ARN of a role's session (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION), a user or the root user."""
    role: str = ""
    """For a session, the ARN of its role."""
    service: str = ""
    """Instead of `arn`, for an AWS service that calls by itself (events.amazonaws.com), or a federated provider."""

    @property
    def account(self) -> str:
        """The id of the caller's account; empty for a service."""
        return _account_of(self.arn)

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root user."""
        return self.arn.endswith(":root")


@dataclass(frozen=True)
class Request:
    """What a caller asks for."""

    principal: Principal
    action: str
    resource: str
    """An ARN; "*" for an action without resource types."""
    context: Context
    """Values of condition keys by the key in lower case."""


@dataclass(frozen=True)
class Decision:
    """Result of an evaluation."""

    allowed: bool
    reason: str
    """End of AWS's message about a refusal; empty if the request is allowed."""
    statements: tuple[str, ...] = ()
    """Names of the statements that decide, as POLICY/SID."""
    explicit: bool = False
    """Whether a Deny statement refuses the request."""


def lowered(context: Mapping[str, Any]) -> dict[str, Any]:
    """A context with its keys in lower case: their case does not count (reference_policies_elements_condition)."""
    return {key.lower(): value for key, value in context.items()}


# ------------------------------------------------------------------------------------------------------ patterns
@functools.lru_cache(maxsize=8192)
def _compiled(expression: str, flags: int = 0) -> Regex:
    return re.compile(expression, re.DOTALL | flags)


def _wildcards(text: str, wildcards: Mapping[str, str]) -> str:
    return "".join(wildcards.get(piece, re.escape(piece)) for piece in re.split(r"([*?])", text))


def _arn_expression(pattern: str) -> str:
    """A regular expression for an ARN pattern.

    Each of the ARN's six parts is compared by itself, so that a wildcard ends at a colon (ArnLike:
    reference_policies_elements_condition_operators; Resource: "a wildcard character can't span segments",
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/security_iam_service-with-iam.html). The page
    reference_policies_elements_resource says that "*" at the end of a "resource ARN segment" may match beyond colons,
    which is read as the last part; and that missing parts are "*".
    """
    if pattern == "*":
        return ".*"
    parts = pattern.split(":", _ARN_COLONS)
    parts += ["*"] * (_ARN_COLONS + 1 - len(parts))
    fixed = [_wildcards(part, _WILDCARDS_IN_SEGMENT) for part in parts[:_ARN_COLONS]]
    return ":".join([*fixed, _wildcards(parts[_ARN_COLONS], _WILDCARDS)])


class _Text:
    """A text of a policy, which may have variables (reference_policies_variables).

    `expression` turns the text, without variables, into a regular expression; values of variables match literally.
    """

    def __init__(self, text: str, expression: Callable[[str], str], *, variables: bool) -> None:
        self._values: list[tuple[str, str | None]] = []
        """Key and default of each variable, in order."""
        self._literals: list[str] = []
        """Characters in place of ${*}, ${?} and ${$}."""
        marked = _VARIABLE.sub(self._mark, text) if variables else text
        self._expression = expression(marked)
        self._regex = None if self._values else _compiled(self._filled([]))

    def _mark(self, match: re.Match[str]) -> str:
        """A private character per variable: neither wildcard nor colon, so that it passes through `expression`."""
        if match[1] in ("*", "?", "$"):
            self._literals.append(match[1])
            return f"\ue001{len(self._literals) - 1}\ue002"
        key, comma, default = match[1].partition(",")
        quoted = default.strip()
        if comma and not (len(quoted) > 1 and quoted[0] == quoted[-1] == "'"):
            raise PolicyError(f"the default value of a policy variable stands in single quotes: {match[0]}")
        self._values.append((key.strip().lower(), quoted[1:-1] if comma else None))
        return f"\ue000{len(self._values) - 1}\ue002"

    def _filled(self, values: list[str]) -> str:
        if not values and not self._literals:
            return self._expression
        places = {"\ue000": values, "\ue001": self._literals}
        return re.sub(
            "(\ue000|\ue001)(\\d+)\ue002", lambda match: re.escape(places[match[1]][int(match[2])]), self._expression
        )

    def regex(self, context: Context) -> Regex | None:
        """None if a variable has no value: nothing is equal to it or like it."""
        if self._regex is not None:
            return self._regex
        values = [context.get(key, default) for key, default in self._values]
        # A key of several values cannot be a variable (reference_policies_condition-single-vs-multi-valued-...).
        texts = [value for value in values if isinstance(value, str)]
        return _compiled(self._filled(texts)) if len(texts) == len(values) else None

    def value(self, context: Context) -> str | None:
        """The text with its variables filled in, for operators that have no wildcards; None if one has no value."""
        values = [context.get(key, default) for key, default in self._values]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            return None
        places = {"\ue000": texts, "\ue001": self._literals}
        return re.sub("(\ue000|\ue001)(\\d+)\ue002", lambda match: places[match[1]][int(match[2])], self._expression)


# ---------------------------------------------------------------------------------------------------- conditions
Test = Callable[[_Text, str, Context], bool]


def _equal(ignore_case: bool = False) -> Test:
    def test(wanted: _Text, value: str, context: Context) -> bool:
        expected = wanted.value(context)
        if expected is None:
            return False
        return expected.lower() == value.lower() if ignore_case else expected == value

    return test


def _like(wanted: _Text, value: str, context: Context) -> bool:
    regex = wanted.regex(context)
    return regex is not None and regex.fullmatch(value) is not None


def _ordered(read: Callable[[str], float | None], compare: Callable[[float, float], bool]) -> Test:
    def test(wanted: _Text, value: str, context: Context) -> bool:
        text = wanted.value(context)
        limit, actual = None if text is None else read(text), read(value)
        return limit is not None and actual is not None and compare(actual, limit)

    return test


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _date(text: str) -> float | None:
    """Seconds since 1970, of a number of seconds or of a time as the W3C's profile of ISO 8601 has it."""
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _in_network(wanted: _Text, value: str, context: Context) -> bool:
    network = wanted.value(context)
    try:
        return network is not None and ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _plain(text: str) -> str:
    return text


def _string_expression(text: str) -> str:
    return _wildcards(text, _WILDCARDS)


def _relations(prefix: str, read: Callable[[str], float | None]) -> dict[str, tuple[Test, Callable[[str], str]]]:
    comparisons: dict[str, Callable[[float, float], bool]] = {
        "Equals": lambda actual, limit: actual == limit,
        "LessThan": lambda actual, limit: actual < limit,
        "LessThanEquals": lambda actual, limit: actual <= limit,
        "GreaterThan": lambda actual, limit: actual > limit,
        "GreaterThanEquals": lambda actual, limit: actual >= limit,
    }
    return {prefix + name: (_ordered(read, compare), _plain) for name, compare in comparisons.items()}


# reference_policies_elements_condition_operators; by operator its test, and how it reads the policy's text.
_OPERATORS: dict[str, tuple[Test, Callable[[str], str]]] = {
    "StringEquals": (_equal(), _plain),
    "StringEqualsIgnoreCase": (_equal(ignore_case=True), _plain),
    "StringLike": (_like, _string_expression),
    **_relations("Numeric", _number),
    **_relations("Date", _date),
    "Bool": (_equal(ignore_case=True), _plain),
    "BinaryEquals": (_equal(), _plain),
    "IpAddress": (_in_network, _plain),
    "ArnEquals": (_like, _arn_expression),
    "ArnLike": (_like, _arn_expression),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


class _Condition:
    """One operator with one key and its values; all conditions of a statement must hold."""

    def __init__(self, operator: str, key: str, wanted: list[str], *, variables: bool) -> None:
        quantifier, _, name = operator.rpartition(":")
        self._if_exists = name.endswith("IfExists") and name != "NullIfExists"
        name = name.removesuffix("IfExists") if self._if_exists else name
        self._key = key.lower()
        self._quantifier = quantifier
        self._negated = name in _NEGATED
        self._null = name == "Null"
        self._values = wanted
        if self._null:
            if quantifier or any(value.lower() not in ("true", "false") for value in wanted):
                raise PolicyError(f"the operator Null takes true or false, and no set operator: {operator} {wanted}")
            return
        name = _NEGATED.get(name, name)
        if name not in _OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
            raise PolicyError(f"{operator} is no condition operator that IAM documents")
        self._test, expression = _OPERATORS[name]
        self._texts = [_Text(value, expression, variables=variables) for value in wanted]

    def holds(self, context: Context) -> bool:
        present = self._key in context
        if self._null:
            # Key absent if "true", present if "false"; several values are alternatives.
            return any((value.lower() == "true") != present for value in self._values)
        if self._if_exists and not present:
            return True
        value = context.get(self._key, [])
        values = value if isinstance(value, list) else [value]
        if self._quantifier == "ForAllValues":
            # True also if the request has no value.
            return all(self._matches(item, context) for item in values)
        if self._quantifier == "ForAnyValue":
            return any(self._matches(item, context) for item in values)
        if not values:
            # "the values do not match": true for a negated operator.
            return self._negated
        # AWS requires a set operator for a key with several values; without it, assumed: any of them for a positive
        # operator, all of them for a negated one.
        quantify = all if self._negated else any
        return quantify(self._matches(item, context) for item in values)

    def _matches(self, value: str, context: Context) -> bool:
        return any(self._test(text, value, context) for text in self._texts) != self._negated


# ---------------------------------------------------------------------------------------------------- principals
class _Principals:
    """A Principal or NotPrincipal element (reference_policies_elements_principal)."""

    def __init__(self, element: Any) -> None:
        if element != "*" and not isinstance(element, Mapping):
            raise PolicyError(f'a principal is "*" or an object: {element}')
        named: Mapping[str, Any] = {} if element == "*" else element
        if unknown := sorted(set(named) - {"AWS", "Service", "Federated", "CanonicalUser"}):
            raise PolicyError(f"a principal has no {', '.join(unknown)}")
        self._aws = frozenset(map(str, _listed(named.get("AWS"))))
        self._services = frozenset(map(str, [*_listed(named.get("Service")), *_listed(named.get("Federated"))]))
        # "Principal": "*" and "Principal": {"AWS": "*"} are the same; here both match services too.
        self._everyone = element == "*" or "*" in self._aws

    def direct(self, principal: Principal) -> bool:
        """Whether it names the session, the user, the service, or everybody.

        Boundary, session policy and identity policies do not limit what such a statement allows
        (reference_policies_evaluation-logic_policy-eval-denyallow).
        """
        return self._everyone or principal.arn in self._aws or principal.service in self._services

    def by_role(self, principal: Principal) -> bool:
        """Whether it names the session's role: boundary and session policy limit what it allows."""
        return principal.role in self._aws

    def by_account(self, principal: Principal) -> bool:
        """Whether it names the account, which leaves the decision to the account's identity policies."""
        account = principal.account
        return bool(account) and not self._aws.isdisjoint((account, f"arn:aws:iam::{account}:root"))

    def names_any(self, principal: Principal) -> bool:
        """Whether it names the principal in any way."""
        return self.direct(principal) or self.by_role(principal) or self.by_account(principal)

    def names_all(self, principal: Principal) -> bool:
        """Whether it names account, role and session: AWS "might validate the account first, then the role".

        reference_policies_elements_notprincipal; assumed to be so for every service.
        """
        if self._everyone or principal.service:
            return self.direct(principal)
        role = not principal.role or self.by_role(principal)
        return self.by_account(principal) and role and (principal.is_root or principal.arn in self._aws)


def _account_of(arn: str) -> str:
    parts = arn.split(":", _ARN_COLONS)
    return parts[4] if len(parts) > _ARN_COLONS else ""


# ---------------------------------------------------------------------------------------------------- statements
def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Statement:
    """A statement of a policy, prepared for many requests. Raises PolicyError."""

    def __init__(self, policy: str, element: Mapping[str, Any], *, variables: bool) -> None:
        self.element = element
        self.name = f"{policy}/{element.get('Sid', '')}"
        if unknown := sorted(set(element) - _ELEMENTS):
            raise PolicyError(f"{self.name}: a statement has no {', '.join(unknown)}")
        if element.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError(f"{self.name}: the effect is Allow or Deny: {element.get('Effect')}")
        self.allows = element["Effect"] == "Allow"
        self.has_principal = not element.keys().isdisjoint(("Principal", "NotPrincipal"))
        self._not_action = _exclusive(self.name, element, "Action", "NotAction", needed=True)
        # A trust policy has no resource: it is the role's.
        self._not_resource = _exclusive(self.name, element, "Resource", "NotResource", needed=not self.has_principal)
        self._not_principal = _exclusive(self.name, element, "Principal", "NotPrincipal", needed=False)
        self.actions = tuple(map(str, _listed(element.get("Action", element.get("NotAction")))))
        self._actions = _compiled("|".join(map(_string_expression, self.actions)), re.IGNORECASE)
        self._matching: dict[str, bool] = {}
        resource = element.get("Resource", element.get("NotResource"))
        self._any_resource = resource is None
        patterns = [_Text(str(text), _arn_expression, variables=variables) for text in _listed(resource)]
        # Without variables one expression serves all patterns.
        fixed = [regex.pattern for pattern in patterns if (regex := pattern.regex({})) and not pattern._values]
        self._fixed_resources = _compiled("|".join(f"(?:{text})" for text in fixed)) if fixed else None
        self._variable_resources = [pattern for pattern in patterns if pattern._values]
        self._principals = (
            _Principals(element.get("Principal", element.get("NotPrincipal"))) if self.has_principal else None
        )
        self._conditions = [
            _Condition(operator, key, [_text(value) for value in _listed(wanted)], variables=variables)
            for operator, block in element.get("Condition", {}).items()
            for key, wanted in block.items()
        ]

    @property
    def keys(self) -> set[str]:
        """Condition keys of the statement: as they stand in its conditions, and those of its variables."""
        condition = self.element.get("Condition", {})
        keys = {str(key) for block in condition.values() for key in block}
        texts = [*_listed(self.element.get("Resource", self.element.get("NotResource")))]
        texts += [value for block in condition.values() for wanted in block.values() for value in _listed(wanted)]
        variables = {match for text in texts for match in _VARIABLE.findall(str(text)) if match not in ("*", "?", "$")}
        return keys | {name.partition(",")[0].strip() for name in variables}

    def matches_action(self, action: str) -> bool:
        """Whether the statement is about an action; case does not count (reference_policies_elements_action)."""
        matches = self._matching.get(action)
        if matches is None:
            matches = (self._actions.fullmatch(action) is not None) != self._not_action
            # A service has a few hundred actions.
            if len(self._matching) < _REMEMBERED_ACTIONS:
                self._matching[action] = matches
        return matches

    def matches_resource(self, resource: str, context: Context) -> bool:
        """Whether the statement is about a resource."""
        if self._any_resource:
            return True
        matches = self._fixed_resources is not None and self._fixed_resources.fullmatch(resource) is not None
        matches = matches or any(_like(pattern, resource, context) for pattern in self._variable_resources)
        return matches != self._not_resource

    def matches_principal(self, principal: Principal) -> bool:
        """Whether the statement is about a principal; one of an identity policy is."""
        if self._principals is None:
            return True
        if not self._not_principal:
            return self._principals.names_any(principal)
        excluded = self._principals.names_any if self.allows else self._principals.names_all
        return not excluded(principal)

    def applies(self, request: Request) -> bool:
        """Whether the statement decides about a request."""
        return (
            self.matches_action(request.action)
            and self.matches_resource(request.resource, request.context)
            and self.matches_principal(request.principal)
            and all(condition.holds(request.context) for condition in self._conditions)
        )

    def grant(self, principal: Principal) -> str:
        """How an Allow statement of a resource policy reaches a principal: "direct", "role" or "account"."""
        if self._principals is None or self._not_principal or self._principals.direct(principal):
            return "direct"
        return "role" if self._principals.by_role(principal) else "account"


def _exclusive(name: str, element: Mapping[str, Any], plain: str, negated: str, *, needed: bool) -> bool:
    """Whether the negated element is used. Raises PolicyError if both are, or none although it is needed."""
    if plain in element and negated in element:
        raise PolicyError(f"{name}: a statement has {plain} or {negated}, not both")
    if needed and plain not in element and negated not in element:
        raise PolicyError(f"{name}: a statement has {plain} or {negated}")
    return negated in element


def statements(documents: Mapping[str, Any]) -> list[Statement]:
    """The statements of policies by their names, prepared for many requests. Raises PolicyError.

    Variables are text in policies of the language's first version, which is the default
    (reference_policies_elements_version).
    """
    prepared = []
    for name, document in documents.items():
        version = document.get("Version", "2008-10-17")
        if version not in ("2008-10-17", "2012-10-17"):
            raise PolicyError(f"{name}: the policy language has no version {version}")
        variables = version == "2012-10-17"
        prepared += [Statement(name, element, variables=variables) for element in _listed(document["Statement"])]
    return prepared


# ---------------------------------------------------------------------------------------------------- evaluation
def decide(
    request: Request,
    identity: Iterable[Statement],
    resource: Iterable[Statement] = (),
    boundary: Iterable[Statement] | None = None,
    session: Iterable[Statement] | None = None,
    *,
    trust: bool = False,
) -> Decision:
    """Evaluate the policies (reference_policies_evaluation-logic_policy-eval-denyallow).

    `trust` says that `resource` is a role's trust policy, which "must explicitly allow access"; so must the policy of a
    resource in another account. The root user needs no policy for resources of its account.
    """
    evaluated = (
        _Evaluated.of(request, identity, "identity-based policy", "an identity-based policy"),
        _Evaluated.of(request, resource, *(_TRUST if trust else _RESOURCE)),
        _Evaluated.of(request, boundary, "permissions boundary", "a permissions boundary"),
        _Evaluated.of(request, session, "session policy", "a session policy"),
    )
    for policies in evaluated:
        if policies.denying:
            return Decision(False, f"with an explicit deny in {policies.place}", policies.denying, explicit=True)
    by_identity, by_resource, *limits = evaluated
    foreign = _foreign(request)
    missing = _missing(request.principal, by_identity, by_resource, limits, needed=trust or foreign, foreign=foreign)
    if missing is not None:
        return Decision(False, f"because no {missing.kind} allows the {request.action} action")
    return Decision(True, "", (*by_identity.names, *by_resource.names))


_RESOURCE = ("resource-based policy", "a resource-based policy")
_TRUST = ("role trust policy", "the role trust policy")


@dataclass(frozen=True)
class _Evaluated:
    """What the policies of one type say about a request."""

    kind: str
    place: str
    allowing: list[Statement]
    denying: tuple[str, ...]
    absent: bool
    """Whether the caller has no policy of this type, so that it limits nothing."""

    @classmethod
    def of(cls, request: Request, policies: Iterable[Statement] | None, kind: str, place: str) -> _Evaluated:
        applying = [statement for statement in policies or () if statement.applies(request)]
        return cls(
            kind=kind,
            place=place,
            allowing=[statement for statement in applying if statement.allows],
            denying=tuple(statement.name for statement in applying if not statement.allows),
            absent=policies is None,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statements that allow the request."""
        return tuple(statement.name for statement in self.allowing)


def _missing(
    principal: Principal,
    identity: _Evaluated,
    resource: _Evaluated,
    limits: list[_Evaluated],
    *,
    needed: bool,
    foreign: bool,
) -> _Evaluated | None:
    """The policies of which one would have to allow the request and none does; None if the request is allowed."""
    grants = {statement.grant(principal) for statement in resource.allowing}
    if not grants and (needed or principal.service):
        return resource
    sufficient = set() if foreign else grants
    if principal.service or principal.is_root or "direct" in sufficient:
        return None
    if not identity.allowing and "role" not in sufficient:
        return identity
    return next((limit for limit in limits if not limit.absent and not limit.allowing), None)


def _foreign(request: Request) -> bool:
    """Whether the resource belongs to another account than the caller; an ARN without account does not say so."""
    owner = request.context.get("aws:resourceaccount", _account_of(request.resource))
    account = request.principal.account
    return isinstance(owner, str) and owner.isdecimal() and bool(account) and owner != account


def message(request: Request, decision: Decision) -> str:
    """AWS's words about a refusal (troubleshoot_access-denied)."""
    where = "" if request.resource == "*" else f" on resource: {request.resource}"
    caller = request.principal.arn or request.principal.service
    return f"User: {caller} is not authorized to perform: {request.action}{where} {decision.reason}"
