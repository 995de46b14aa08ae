"""Small runs of the benchmarks against the tests' own server: that they end, and what they report, not how fast."""

import json
from dataclasses import replace

import pytest

from benchmarks import help as help_benchmark
from benchmarks import (
    proxy,
    query,
    recount,
    s3_door,
    serve,
    server,
    shard,
    shard_add,
    shard_cores,
    shard_memory,
    shard_scale,
)
from benchmarks.bins import bins, upload_photos
from benchmarks.child import ContenderError, measure, peak_bytes
from benchmarks.contenders import sharding
from benchmarks.options import Options
from steps.contracts.s3_uri import S3Uri


@pytest.fixture
def options(tmp_path, s3, monkeypatch):
    monkeypatch.setenv("ABID_SAMPLE", str(tmp_path / "none"))
    return Options(folder=tmp_path, rounds=1, count=40, baseline_count=10)


def test_sharding_is_measured_beside_its_baseline_and_its_limit(options):
    (case,) = shard.plain(options)
    figures = json.loads(case.line())
    assert (figures["name"], figures["unit"]) == ("shard", "photos/s")
    assert min(case.ours, case.baseline, case.limit) > 0


def test_shares_of_several_instances_make_up_the_whole(options, monkeypatch):
    monkeypatch.setattr(shard_scale, "INSTANCES", (1, 2))
    cases = {case.name: case for case in shard_scale.cases(options)}
    assert [cases[f"shard-scale-{n}-photos"].baseline * n for n in (1, 2)] == [40, 40]


def test_processes_of_an_instance_are_measured_against_a_single_one(options):
    options = replace(options, count=120, threads=2)
    cases = {case.name: case for case in shard_cores.cases(options)}
    assert cases.keys() == {f"shard-cores{name}" for name in ("", "-cpu", "-resize", "-resize-cpu")}
    assert all(min(case.ours, case.baseline) > 0 for case in cases.values())


def test_the_memory_of_a_worker_is_measured_under_two_plans(options, monkeypatch):
    monkeypatch.setattr(shard_memory, "MISSING", 20)
    (case,) = shard_memory.cases(replace(options, count=4_000))
    assert case.name == "shard-memory-growth"
    assert 0.5 < case.ratio < 2


def test_a_recount_begins_with_no_fewer_wrong_records_than_by_another_order(options):
    cases = {case.name: case for case in recount.cases(replace(options, count=20_000, rounds=3))}
    assert list(cases) == [f"recount-{kind}-{name}" for kind in ("near", "any") for name in recount.BASELINES]
    assert [name for name, case in cases.items() if case.ours < case.baseline] == []
    assert cases["recount-near-confidence"].ours > cases["recount-near-confidence"].baseline


def test_photos_that_are_added_are_alone_asked_for(options):
    cases = {case.name: case for case in shard_add.cases(options)}
    assert (cases["shard-add-gets"].ours, cases["shard-add-gets"].baseline) == (10, 50)
    assert cases["shard-add-time"].ratio > 0


def test_the_listing_is_measured_next_to_the_server_and_with_latency(options, monkeypatch):
    monkeypatch.setattr(query, "LISTING_SECONDS", 0.001)
    cases = {case.name: case for case in query.listing(options)}
    assert list(cases) == ["listing", "listing-latency"]
    assert min(cases["listing"].ratio, cases["listing-latency"].ratio) > 0


def test_the_direct_reader_is_measured_beside_its_baseline_and_its_limit(options):
    (case,) = query.cases(options)
    assert (case.name, case.unit) == ("query", "files/s")
    assert min(case.ours, case.baseline, case.limit) > 0


def test_reading_through_the_s3_door_is_measured_beside_both_servers(options):
    cases = {case.name: case for case in s3_door.cases(options)}
    assert min(cases["s3-door"].ratio, cases["s3-door-and-sessions"].ratio) > 0
    assert cases["s3-door-processor"].ours >= 0


def test_the_help_is_measured_with_the_imports_that_it_needs(options):
    (case,) = help_benchmark.cases(options)
    assert (case.name, case.unit) == ("help", "ms")
    assert min(case.ours, case.baseline) > 0


def test_serving_is_measured_beside_other_servers_and_over_many_requests(options, monkeypatch):
    for name, value in {"NETWORK": "squeezenet1_1", "IMAGE_SIZE": 64, "CLIENTS": (2,), "MEMORY_REQUESTS": 100}.items():
        monkeypatch.setattr(serve, name, value)
    cases = {case.name: case for case in serve.cases(options)}
    assert min(cases["serve-2"].ratio, cases["serve-2-eager"].ratio, cases["serve-2-p99"].ratio) > 0
    assert cases["serve-failures"].ours == 0
    assert cases["serve-memory"].baseline > 10


def test_sets_are_measured_against_a_server_whose_answers_have_none(options, monkeypatch):
    (case,) = serve.calibrated(options)
    assert (case.name, case.unit) == ("serve-calibrated", "ms")
    assert min(case.ours, case.baseline) > 0
    artifact, again = serve._artifact, options.folder / "again"
    again.mkdir()
    monkeypatch.setattr(serve, "_artifact", lambda base, *rest, calibrated: artifact(base, *rest, calibrated=False))
    with pytest.raises(ContenderError, match="without a prediction set"):
        list(serve.calibrated(replace(options, folder=again)))


def test_a_contender_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(ContenderError, match="resize ended with status 1"):
        measure(sharding.resize, {"folder": str(tmp_path), "count": 1, "shorter_side": 256, "quality": 90})


def test_contenders_run_through_the_proxy_too(options):
    with server.bucket() as bucket, proxy.running(server.port(), 0) as port:
        uploaded = upload_photos(bins(8), 8, S3Uri(bucket, "raw"))
        trials = shard.Trials(uploaded, options, {"AWS_ENDPOINT_URL_S3": f"http://{proxy.LOOPBACK}:{port}"})
        assert trials.raw_gets() > 0


def test_peak_memory_is_that_of_a_process():
    assert 10e6 < peak_bytes() < 10e9
