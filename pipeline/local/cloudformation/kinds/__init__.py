"""The types of resources that the local cloud makes."""

from __future__ import annotations

from pipeline.local.cloudformation.kinds.compute import BuildProject, Function, Permission
from pipeline.local.cloudformation.kinds.data import Database, WorkGroup
from pipeline.local.cloudformation.kinds.identity import IdentityProvider, ManagedPolicy, Role
from pipeline.local.cloudformation.kinds.kind import Account, Kind, Properties
from pipeline.local.cloudformation.kinds.messaging import Queue, QueuePolicy, Rule, Topic
from pipeline.local.cloudformation.kinds.storage import Bucket, BucketPolicy, Repository
from pipeline.local.cloudformation.kinds.watching import Alarm, Budget, LogGroup

KINDS: dict[str, type[Kind]] = {
    "AWS::Athena::WorkGroup": WorkGroup,
    "AWS::Budgets::Budget": Budget,
    "AWS::CloudWatch::Alarm": Alarm,
    "AWS::CodeBuild::Project": BuildProject,
    "AWS::ECR::Repository": Repository,
    "AWS::Events::Rule": Rule,
    "AWS::Glue::Database": Database,
    "AWS::IAM::ManagedPolicy": ManagedPolicy,
    "AWS::IAM::OIDCProvider": IdentityProvider,
    "AWS::IAM::Role": Role,
    "AWS::Lambda::Function": Function,
    "AWS::Lambda::Permission": Permission,
    "AWS::Logs::LogGroup": LogGroup,
    "AWS::S3::Bucket": Bucket,
    "AWS::S3::BucketPolicy": BucketPolicy,
    "AWS::SNS::Topic": Topic,
    "AWS::SQS::Queue": Queue,
    "AWS::SQS::QueuePolicy": QueuePolicy,
}

__all__ = ["KINDS", "Account", "Kind", "Properties"]
