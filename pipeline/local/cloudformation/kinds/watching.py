"""Alarms, budgets and log groups."""

from __future__ import annotations

from typing import Any

from pipeline.local.cloudformation.kinds.kind import Kind, Properties, found, picked, send, unless_missing


class Alarm(Kind):
    """A CloudWatch alarm."""

    naming = "AlarmName"
    known = frozenset(
        {
            "ActionsEnabled",
            "AlarmActions",
            "AlarmDescription",
            "ComparisonOperator",
            "DatapointsToAlarm",
            "Dimensions",
            "EvaluateLowSampleCountPercentile",
            "EvaluationPeriods",
            "ExtendedStatistic",
            "InsufficientDataActions",
            "MetricName",
            "Metrics",
            "Namespace",
            "OKActions",
            "Period",
            "Statistic",
            "Threshold",
            "TreatMissingData",
            "Unit",
        }
    )

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is an alarm of that name."""
        return bool(self._cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"])

    def put(self, name: str, properties: Properties) -> None:
        """Put it."""
        send(self._cloudwatch, "PutMetricAlarm", **{**properties, "AlarmName": name})

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it."""
        self._cloudwatch.delete_alarms(AlarmNames=[name])

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN."""
        return {"Arn": self.account.arn("cloudwatch", f"alarm:{name}")}

    @property
    def _cloudwatch(self) -> Any:
        return self.account.client("cloudwatch")


class Budget(Kind):
    """A budget with its notifications. Nothing is spent here, so it never warns."""

    known = frozenset({"Budget", "NotificationsWithSubscribers"})
    replacing = frozenset({"NotificationsWithSubscribers"})

    def name(self, stack: str, logical: str, properties: Properties) -> str:
        """As the budget says."""
        return str(properties["Budget"].get("BudgetName") or super().name(stack, logical, properties))

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a budget of that name."""
        return found(lambda: self._budgets.describe_budget(AccountId=self._account, BudgetName=name))

    def put(self, name: str, properties: Properties) -> None:
        """Make it; one that is there is made anew, as this server cannot change one."""
        self.delete(name, properties)
        notifications = picked(properties, "NotificationsWithSubscribers")
        budget = {**properties["Budget"], "BudgetName": name}
        send(self._budgets, "CreateBudget", AccountId=self._account, Budget=budget, **notifications)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it."""
        with unless_missing():
            self._budgets.delete_budget(AccountId=self._account, BudgetName=name)

    @property
    def _account(self) -> str:
        return self.account.context.account_id

    @property
    def _budgets(self) -> Any:
        return self.account.client("budgets")


class LogGroup(Kind):
    """A group of logs, with how long they are kept."""

    naming = "LogGroupName"
    known = frozenset({"RetentionInDays"})
    forgotten = False

    def exists(self, name: str, properties: Properties) -> bool:  # noqa: ARG002
        """Whether there is a group of that name."""
        groups = self._logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return any(one["logGroupName"] == name for one in groups)

    def put(self, name: str, properties: Properties) -> None:
        """Make it, or bring it up to date."""
        if not self.exists(name, properties):
            self._logs.create_log_group(logGroupName=name)
        if days := properties.get("RetentionInDays"):
            send(self._logs, "PutRetentionPolicy", logGroupName=name, retentionInDays=days)

    def delete(self, name: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete it, with its logs."""
        with unless_missing():
            self._logs.delete_log_group(logGroupName=name)

    def attributes(self, name: str, properties: Properties) -> dict[str, str]:  # noqa: ARG002
        """Its ARN."""
        return {"Arn": self.account.arn("logs", f"log-group:{name}:*")}

    @property
    def _logs(self) -> Any:
        return self.account.client("logs")
