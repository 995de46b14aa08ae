"""The objects by which the instances of a job come to one cluster."""

from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.container import Instance
from steps.spark.meeting import Ending, Invitation, Meeting

INVITATION = Invitation(master="spark://10.0.1.7:40123", secret="0123abcd")


def meeting(bucket: str, index: int, job: str = "first") -> Meeting:
    return Meeting(S3Uri(bucket, f"jobs/{job}"), Instance(index, 3, f"algo-{index + 1}"))


def test_an_invitation_reaches_the_instances_of_its_own_job(bucket: str) -> None:
    assert meeting(bucket, 1).invitation() is None
    meeting(bucket, 0).invite(INVITATION)
    assert [meeting(bucket, index).invitation() for index in (1, 2)] == [INVITATION, INVITATION]
    assert meeting(bucket, 1, "first-again").invitation() is None
    assert meeting(bucket, 1, "firs").invitation() is None


def test_each_instance_reports_its_own_end(bucket: str) -> None:
    assert meeting(bucket, 0).endings() == {}
    meeting(bucket, 2).end("its worker ended")
    meeting(bucket, 0).end()
    assert meeting(bucket, 1).endings() == {0: Ending(error=""), 2: Ending(error="its worker ended")}


def test_an_invitation_that_is_no_json_is_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="jobs/first/cluster.json", Body=b"{")
    with pytest.raises(StepError, match=rf"^s3://{bucket}/jobs/first/cluster\.json: not a cluster's invitation: "):
        meeting(bucket, 1).invitation()
