"""Query executions and work groups as resources."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.local.athena import Athena, service
from tests.unit.pipeline.local.athena.front import Front

# It must outlast what a test does meanwhile: the first two alone take a second. Each test that starts it ends it.
SLOW = (
    "SELECT count(*) FROM UNNEST(sequence(1, 40000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 400000)) AS b(y)"
    " CROSS JOIN UNNEST(sequence(1, 1000)) AS c(z)"
)


def start(aws: Front, bucket: str, text: str, **more: Any) -> str:
    output = {"OutputLocation": f"s3://{bucket}/results/"}
    response = aws.client("athena").start_query_execution(QueryString=text, ResultConfiguration=output, **more)
    return str(response["QueryExecutionId"])


def state(aws: Front, query_id: str) -> str:
    execution = aws.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    return str(execution["Status"]["State"])


def wait_for(aws: Front, query_id: str, *states: str) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        now = state(aws, query_id)
        if now in states:
            return now
        time.sleep(0.02)
    raise TimeoutError(now)


def test_two_statements_are_refused_at_once(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    with pytest.raises(client.exceptions.InvalidRequestException, match="Only one sql statement is allowed"):
        start(aws, bucket, "SELECT 1; DROP TABLE t")


def test_a_query_that_runs_can_be_stopped(aws: Front, bucket: str) -> None:
    query_id = start(aws, bucket, SLOW)
    wait_for(aws, query_id, "RUNNING")
    begun = time.monotonic()
    aws.client("athena").stop_query_execution(QueryExecutionId=query_id)
    assert state(aws, query_id) == "CANCELLED"
    other = start(aws, bucket, "SELECT 1")
    assert wait_for(aws, other, "SUCCEEDED", "FAILED") == "SUCCEEDED"
    assert state(aws, query_id) == "CANCELLED"
    assert time.monotonic() - begun < 60


def test_results_of_an_unfinished_or_failed_query_are_refused(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    query_id = start(aws, bucket, SLOW)
    with pytest.raises(client.exceptions.InvalidRequestException, match="not yet finished"):
        client.get_query_results(QueryExecutionId=query_id)
    client.stop_query_execution(QueryExecutionId=query_id)
    with pytest.raises(client.exceptions.InvalidRequestException, match="CANCELLED"):
        client.get_query_results(QueryExecutionId=query_id)


def test_executions_survive_a_restart_and_those_that_ran_have_failed(aws: Front, bucket: str) -> None:
    done = start(aws, bucket, "SELECT 1 AS a")
    wait_for(aws, done, "SUCCEEDED")
    document = aws.store.get("athena-query-execution", done)
    assert document is not None
    lost = str(uuid.uuid4())
    document["execution"] |= {"QueryExecutionId": lost, "Status": {"State": "RUNNING", "SubmissionDateTime": 1.0}}
    aws.store.put("athena-query-execution", lost, document)

    again = Athena(aws.store, lambda: aws.connection, lambda *_: None)
    status = again.operations()["GetQueryExecution"]({"QueryExecutionId": lost})["QueryExecution"]["Status"]
    assert status["State"] == "FAILED"
    assert "stopped while the query ran" in status["StateChangeReason"]
    rows = again.operations()["GetQueryResults"]({"QueryExecutionId": done})["ResultSet"]["Rows"]
    assert rows == [{"Data": [{"VarCharValue": "a"}]}, {"Data": [{"VarCharValue": "1"}]}]
    again.close()


def test_results_come_in_pages(aws: Front, bucket: str) -> None:
    query_id = start(aws, bucket, "SELECT x FROM UNNEST(sequence(1, 2500)) AS t(x)")
    wait_for(aws, query_id, "SUCCEEDED")
    pages = list(aws.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=query_id))
    values = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [1000, 1000, 501]
    assert values == ["x", *map(str, range(1, 2501))]


def test_an_unknown_execution_is_refused(aws: Front) -> None:
    client = aws.client("athena")
    for call in (client.get_query_execution, client.get_query_results, client.stop_query_execution):
        with pytest.raises(client.exceptions.InvalidRequestException, match="was not found"):
            call(QueryExecutionId=str(uuid.uuid4()))


def test_executions_are_listed_newest_first_by_work_group(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    group = f"group-{uuid.uuid4().hex[:8]}"
    client.create_work_group(Name=group, Configuration={"EnforceWorkGroupConfiguration": False})
    ids = [start(aws, bucket, f"SELECT {n} AS a", WorkGroup=group) for n in range(3)]
    assert client.list_query_executions(WorkGroup=group)["QueryExecutionIds"] == ids[::-1]
    unknown = str(uuid.uuid4())
    response = client.batch_get_query_execution(QueryExecutionIds=[*ids, unknown])
    assert [execution["Query"] for execution in response["QueryExecutions"]] == [f"SELECT {n} AS a" for n in range(3)]
    assert [item["QueryExecutionId"] for item in response["UnprocessedQueryExecutionIds"]] == [unknown]


def test_a_work_group_that_enforces_its_settings_decides_where_results_go(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    group = f"group-{uuid.uuid4().hex[:8]}"
    client.create_work_group(
        Name=group, Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/enforced/"}}
    )
    assert client.get_work_group(WorkGroup=group)["WorkGroup"]["Configuration"]["EnforceWorkGroupConfiguration"]
    query_id = start(aws, bucket, "SELECT 1 AS a", WorkGroup=group)
    wait_for(aws, query_id, "SUCCEEDED")
    execution = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    assert execution["ResultConfiguration"]["OutputLocation"] == f"s3://{bucket}/enforced/{query_id}.csv"
    ctas = start(
        aws, bucket, f"CREATE TABLE d.t WITH (external_location = 's3://{bucket}/x/') AS SELECT 1 AS a", WorkGroup=group
    )
    assert wait_for(aws, ctas, "SUCCEEDED", "FAILED") == "FAILED"
    status = client.get_query_execution(QueryExecutionId=ctas)["QueryExecution"]["Status"]
    assert "enforces a centralized output location" in status["StateChangeReason"]
    assert group in [item["Name"] for item in client.list_work_groups()["WorkGroups"]]
    with pytest.raises(client.exceptions.InvalidRequestException, match="already created"):
        client.create_work_group(Name=group)


def test_a_work_group_keeps_what_an_update_does_not_name(aws: Front, bucket: str) -> None:
    client, group = aws.client("athena"), f"g{uuid.uuid4().hex[:8]}"
    location = f"s3://{bucket}/results/"
    client.create_work_group(
        Name=group, Description="queries", Configuration={"ResultConfiguration": {"OutputLocation": location}}
    )
    key = {"EncryptionOption": "SSE_S3"}
    client.update_work_group(
        WorkGroup=group,
        ConfigurationUpdates={
            "EnforceWorkGroupConfiguration": False,
            "BytesScannedCutoffPerQuery": 10**9,
            "ResultConfigurationUpdates": {"EncryptionConfiguration": key},
        },
    )
    description = client.get_work_group(WorkGroup=group)["WorkGroup"]
    configuration = description["Configuration"]
    assert description["Description"] == "queries"
    assert configuration["ResultConfiguration"] == {"OutputLocation": location, "EncryptionConfiguration": key}
    assert (configuration["EnforceWorkGroupConfiguration"], configuration["BytesScannedCutoffPerQuery"]) == (
        False,
        10**9,
    )

    removed = {
        "RemoveBytesScannedCutoffPerQuery": True,
        "ResultConfigurationUpdates": {"RemoveEncryptionConfiguration": True},
    }
    client.update_work_group(WorkGroup=group, ConfigurationUpdates=removed)

    configuration = client.get_work_group(WorkGroup=group)["WorkGroup"]["Configuration"]
    assert configuration["ResultConfiguration"] == {"OutputLocation": location}
    assert "BytesScannedCutoffPerQuery" not in configuration


def test_a_deleted_work_group_is_gone_and_the_primary_one_stays(aws: Front) -> None:
    client, group = aws.client("athena"), f"g{uuid.uuid4().hex[:8]}"
    client.create_work_group(Name=group)
    client.delete_work_group(WorkGroup=group, RecursiveDeleteOption=True)
    with pytest.raises(ClientError, match="is not found"):
        client.get_work_group(WorkGroup=group)
    with pytest.raises(ClientError, match="Cannot delete primary"):
        client.delete_work_group(WorkGroup="primary")


def test_a_work_group_with_content_is_deleted_only_with_all_of_it(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    for fill in ("query", "statement"):
        group = f"g{uuid.uuid4().hex[:8]}"
        client.create_work_group(Name=group)
        if fill == "query":
            wait_for(aws, start(aws, bucket, "SELECT 1", WorkGroup=group), "SUCCEEDED")
        else:
            client.create_prepared_statement(StatementName="s", WorkGroup=group, QueryStatement="SELECT 1")
        with pytest.raises(client.exceptions.InvalidRequestException, match="is not empty"):
            client.delete_work_group(WorkGroup=group)
        client.delete_work_group(WorkGroup=group, RecursiveDeleteOption=True)
        client.create_work_group(Name=group)
        assert client.list_prepared_statements(WorkGroup=group)["PreparedStatements"] == []


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("SELECT 1", "{}.csv"),
        ("SELECT 1 / 0 + 'a'", "{}.csv"),
        ("SHOW DATABASES", "{}.txt"),
        ("INSERT INTO t SELECT 1", "{}.csv"),
        ("UNLOAD (SELECT 1 AS a) TO 's3://BUCKET/FOLDER/' WITH (format = 'PARQUET')", "{}"),
        ("CREATE TABLE @DATABASE.t AS SELECT 1 AS a", "tables/{}"),
    ],
)
def test_the_file_of_a_result_is_named_from_the_beginning_however_the_query_ends(
    aws: Front, bucket: str, database: str, text: str, end: str
) -> None:
    folder = uuid.uuid4().hex
    text = text.replace("BUCKET", bucket).replace("FOLDER", folder).replace("@DATABASE", database)
    query_id = start(aws, bucket, text)
    client = aws.client("athena")
    for _ in range(2):
        execution = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        location = execution["ResultConfiguration"]["OutputLocation"]
        assert location == f"s3://{bucket}/results/{end.format(query_id)}"
        wait_for(aws, query_id, "SUCCEEDED", "FAILED")


def test_an_unknown_work_group_or_no_output_location_is_refused(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    with pytest.raises(client.exceptions.InvalidRequestException, match="absent is not found"):
        start(aws, bucket, "SELECT 1", WorkGroup="absent")
    with pytest.raises(client.exceptions.InvalidRequestException, match="No output location"):
        client.start_query_execution(QueryString="SELECT 1")


def test_one_client_token_starts_one_execution(aws: Front, bucket: str) -> None:
    token = uuid.uuid4().hex
    first = start(aws, bucket, "SELECT 1 AS a", ClientRequestToken=token)
    assert start(aws, bucket, "SELECT 1 AS a", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        start(aws, bucket, "SELECT 2 AS a", ClientRequestToken=token)


def test_the_engine_reaches_no_file_and_no_other_server(front: Front, reason_of: Callable[[str], str]) -> None:
    """Past the translation, which refuses these already: DuckDB itself is shut in."""
    for statement in (
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('http://127.0.0.1:9/x')",
        "COPY (SELECT 1) TO '/tmp/escaped.parquet' (FORMAT parquet)",
        "ATTACH '/tmp/escaped.duckdb'",
        "LOAD '/tmp/escaped.duckdb_extension'",
        "SET disabled_filesystems = ''",
    ):
        assert "disabled by configuration" in reason_of(statement) or "has been locked" in reason_of(statement)


@pytest.fixture
def reason_of(front: Front) -> Any:
    from pipeline.local.athena.engine import Session, duckdb

    session = Session(front.access, front.connection.storage())
    session.seal()

    def run(statement: str) -> str:
        with pytest.raises(duckdb.Error) as caught:
            session._connection.execute(statement)
        return str(caught.value)

    yield run
    session.close()


def test_a_query_fails_at_the_end_of_athenas_time(aws: Front, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DML_SECONDS", 1.0)
    query_id = start(aws, bucket, SLOW)
    assert wait_for(aws, query_id, "SUCCEEDED", "FAILED") == "FAILED"
    execution = aws.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    assert execution["Status"]["StateChangeReason"] == "Query timeout"


def test_queries_above_the_quota_of_active_ones_are_refused_until_others_have_ended(
    aws: Front, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ACTIVE_DML", 2)
    client = aws.client("athena")
    running = [start(aws, bucket, SLOW) for _ in range(2)]
    with pytest.raises(client.exceptions.TooManyRequestsException, match="you can run concurrently"):
        start(aws, bucket, "SELECT 1")
    for query_id in running:
        wait_for(aws, query_id, "RUNNING")
        client.stop_query_execution(QueryExecutionId=query_id)
    deadline = time.monotonic() + 60
    while True:
        try:
            query_id = start(aws, bucket, "SELECT 1")
            break
        except client.exceptions.TooManyRequestsException:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert wait_for(aws, query_id, "SUCCEEDED", "FAILED") == "SUCCEEDED"
