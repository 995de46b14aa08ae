"""True counts that arrive later: which answers they are compared with, and what comes of it."""

import json
import math
from datetime import timedelta

import pytest

from steps.contracts.drift import Drift
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.monitor import alert, truth
from steps.monitor.captures import Answer
from steps.photos.statistics import Levels
from tests.unit.steps.monitor.test_run import UNTIL, answer, drift, line, put, settings

DELAY = 48
THEN = UNTIL - timedelta(hours=DELAY)
FOLDER = f"{THEN:%Y/%m/%d/%H}"
LEVELS = Levels(sets=0.9, sure=0.98)


def asked(bucket, **more):
    chosen = {"truth": f"s3://{bucket}/truth", "truth_delay_hours": DELAY, "minimum_true_photos": 2}
    return settings(bucket, **{**chosen, **more})


def captured(image_id, count=2, at=THEN - timedelta(minutes=5), **more):
    return line(b"x", json.dumps(answer(count, **more)), at=at, inference_id=image_id)


def label(s3, bucket, content, name="a.csv"):
    s3.put_object(Bucket=bucket, Key=f"truth/{name}", Body=content)


def test_answers_of_the_earlier_window_are_compared_with_the_true_counts(s3, bucket):
    sure, unsure = {"sure": True, "prediction_set": [2]}, {"sure": False, "prediction_set": [2, 3]}
    several = json.dumps({"images": ["AA==", "AA=="]}).encode()
    answers = json.dumps({"predictions": [answer(), answer()]})
    lines = [
        captured("right", **sure),
        captured("covered", **unsure),
        captured("wrong", **unsure),
        captured("also-sure", **sure),
        captured("later", **sure),
        captured("old", version="2"),
        line(b"x", json.dumps(answer()), at=THEN - timedelta(minutes=5)),
        line(several, answers, at=THEN - timedelta(minutes=5), content_type="application/json", inference_id="right"),
        captured("outside", at=THEN),
        "damaged",
    ]
    put(s3, bucket, lines, hour=FOLDER)
    put(s3, bucket, [captured("now", at=UNTIL - timedelta(minutes=5))])
    label(s3, bucket, "image_id,quantity\nright,2\ncovered,3\nwrong,5\nalso-sure,1\nold,2\noutside,2\nnow,2\n")
    result = truth.measure(asked(bucket, minimum_accuracy=0.5), "3", LEVELS)
    assert (result.since, result.until) == (THEN - timedelta(hours=2), THEN)
    assert (result.answered, result.photos, result.without_truth) == (8, 4, 1)
    assert (result.without_id, result.in_several, result.other_versions) == (1, 2, 1)
    assert result.refused == {"damaged line": 1}
    assert (result.accuracy, result.sure_photos, result.sure_accuracy) == (0.25, 2, 0.5)
    assert result.rmse == pytest.approx(math.sqrt((1 + 9 + 1) / 4))
    assert (result.set_photos, result.set_coverage) == (4, 0.5)
    assert (result.level, result.sure_level) == (0.9, 0.98)
    assert result.shortfalls() == ["accuracy 25.0% of 4 photos is below the minimum of 50.0%"]
    assert list(result.unmatched()) == [
        "1 photo without a true count so far",
        "1 photo in requests without an InferenceId",
        "2 photos in requests with several photos, which share an id",
        "1 photo counted by another version",
        "1 capture not used: damaged line",
    ]


def test_a_photo_that_was_sent_twice_has_its_last_answer(s3, bucket):
    early, late = THEN - timedelta(minutes=50), THEN - timedelta(minutes=40)
    put(s3, bucket, [captured("a", 5, at=late), captured("a", 4, at=early)], hour=FOLDER)
    label(s3, bucket, "image_id,quantity\na,5\n")
    result = truth.measure(asked(bucket), "3", None)
    assert (result.answered, result.photos, result.accuracy) == (2, 1, 1.0)
    assert (result.set_coverage, result.level, result.sure_accuracy) == (None, None, None)


def test_tables_of_both_forms_are_read_and_equal_counts_may_repeat(s3, bucket):
    wanted = {name: Answer(2, 0.5, "3") for name in ("a", "b", "c")}
    label(s3, bucket, "image_id,quantity\na,1\nb,2\nz,9\n")
    label(s3, bucket, "image_id;quantity\na;1\nc;4\n", "2026/b.csv")
    label(s3, bucket, "", "empty.csv")
    label(s3, bucket, "notes", "readme.txt")
    s3.put_object(Bucket=bucket, Key="truth-old/a.csv", Body="image_id,quantity\na,7\n")
    assert truth.read_counts(S3Uri(bucket, "truth"), wanted) == {"a": 1, "b": 2, "c": 4}


def test_a_photo_with_two_true_counts_is_named_with_both_places(s3, bucket):
    label(s3, bucket, "image_id,quantity\na,1\n")
    label(s3, bucket, "image_id,quantity\nb,1\na,3\n", "b.csv")
    message = (
        rf"^s3://{bucket}/truth/b\.csv, line 3: image 'a' has quantity 3, and 1 in s3://{bucket}/truth/a\.csv, line 2;"
        " correct one of them$"
    )
    with pytest.raises(StepError, match=message):
        truth.read_counts(S3Uri(bucket, "truth"), {"a": Answer(1, 0.5, "3")})
    assert truth.read_counts(S3Uri(bucket, "truth"), {"b": Answer(1, 0.5, "3")}) == {"b": 1}


def test_a_location_that_cannot_be_listed_is_named_with_the_remedy():
    message = r"s3://no-such-bucket-here/truth: the true counts cannot be listed: NoSuchBucket.*set monitoring\.truth"
    with pytest.raises(StepError, match=message):
        truth.read_counts(S3Uri("no-such-bucket-here", "truth"), {"a": Answer(1, 0.5, "3")})


def test_without_true_counts_there_are_no_figures(s3, bucket):
    put(s3, bucket, [captured("a")], hour=FOLDER)
    result = truth.measure(asked(bucket, minimum_accuracy=0.5), "3", LEVELS)
    assert (result.photos, result.without_truth, result.accuracy, result.rmse) == (0, 1, None, None)
    assert result.shortfalls() == []


class Metrics:
    def __init__(self):
        self.data = {}

    def put_metric_data(self, Namespace, MetricData):
        for datum in MetricData:
            assert {"Name": "EndpointName", "Value": "bins"} in datum["Dimensions"]
            assert datum["Timestamp"] == UNTIL
            self.data[datum["MetricName"]] = datum["Value"]


def metrics_of(measured):
    cloudwatch = Metrics()
    alert.put_metrics(cloudwatch, "BinCounting", drift().model_copy(update={"truth": measured}))
    return {name: cloudwatch.data[name] for name in cloudwatch.data if name not in ("Drift", "Photos", "SureShare")}


def measured(s3, bucket, **more):
    sure = [True, True, True, False]
    lines = [captured(str(number), sure=is_sure, prediction_set=[2]) for number, is_sure in enumerate(sure)]
    put(s3, bucket, lines, hour=FOLDER)
    label(s3, bucket, "image_id,quantity\n0,2\n1,2\n2,3\n3,3\n")
    return truth.measure(asked(bucket, **more), "3", LEVELS)


def test_the_figures_are_metrics_of_the_endpoint(s3, bucket):
    metrics = metrics_of(measured(s3, bucket))
    del metrics["PopulationStabilityIndex"]
    assert metrics == {
        "TruePhotos": 4,
        "Accuracy": 0.5,
        "RMSE": pytest.approx(math.sqrt(0.5)),
        "SureAccuracy": pytest.approx(2 / 3),
        "SetCoverage": 0.5,
    }


def test_too_few_true_counts_ring_no_alarm(s3, bucket):
    minimums = dict.fromkeys(("minimum_accuracy", "minimum_set_coverage", "minimum_sure_accuracy"), 0.9)
    few = measured(s3, bucket, minimum_true_photos=4, **minimums)
    # Three of the four photos have a sure count.
    assert len(few.shortfalls()) == 2
    assert len(measured(s3, bucket, minimum_true_photos=3, **minimums).shortfalls()) == 3
    metrics = metrics_of(few)
    assert "SureAccuracy" not in metrics
    fewer = measured(s3, bucket, minimum_true_photos=5, **minimums)
    assert fewer.shortfalls() == []
    assert set(metrics_of(fewer)) == {"TruePhotos", "PopulationStabilityIndex"}


@pytest.mark.parametrize(("minimum", "is_short"), [(0.5, False), (0.51, True), (0.0, False)])
def test_a_figure_at_its_minimum_is_no_shortfall_and_zero_is_no_minimum(s3, bucket, minimum, is_short):
    result = measured(s3, bucket, minimum_accuracy=minimum, minimum_set_coverage=minimum)
    assert [shortfall.split(" ")[0] for shortfall in result.shortfalls()] == (["accuracy", "set"] if is_short else [])


@pytest.mark.parametrize(("minimum", "is_short"), [(0.66, False), (0.67, True), (0.0, False)])
def test_sure_counts_have_a_minimum_of_their_own(s3, bucket, minimum, is_short):
    result = measured(s3, bucket, minimum_sure_accuracy=minimum)
    short = "accuracy of sure counts 66.7% of 3 photos is below the minimum of 67.0%"
    assert result.shortfalls() == ([short] if is_short else [])
    row = next(row for row in result.figures() if row[0] == "accuracy of sure counts")
    assert row[1:] == ("66.7%", "98.0%", f"{minimum:.1%}" if minimum else "-", "3")


def test_a_result_of_an_earlier_monitor_has_no_true_counts(s3, bucket):
    document = drift().model_copy(update={"truth": measured(s3, bucket)}).model_dump(mode="json")
    assert Drift.model_validate(document).truth.photos == 4
    del document["truth"]["minimum_sure_accuracy"]
    assert Drift.model_validate(document).truth.minimum_sure_accuracy is None
    del document["truth"], document["sure_share"]
    earlier = Drift.model_validate(document)
    assert (earlier.truth, earlier.sure_share) == (None, None)


def test_the_report_shows_the_figures_their_claims_and_their_minimums(s3, bucket, tmp_path):
    from steps.monitor.report import write_report

    result = drift().model_copy(update={"truth": measured(s3, bucket, minimum_accuracy=0.9)})
    write_report(tmp_path / "r.html", result, {}, {})
    page = (tmp_path / "r.html").read_text()
    assert "differ from the baseline; by true counts the answers are below a minimum.</b>" in page
    assert "true counts: accuracy 50.0% of 4 photos is below the minimum of 90.0%" in page
    assert "<td>set coverage</td><td>50.0%</td><td>90.0%</td><td>-</td><td>4</td>" in page
    assert "<td>accuracy</td><td>50.0%</td><td>-</td><td>90.0%</td><td>4</td>" in page
    assert "<td>RMSE, objects</td><td>0.707</td>" in page
    assert "4 have a true count by now" in page
    write_report(tmp_path / "r.html", drift(), {}, {}, "s3://b/a.csv: line 2 has quantity 'two'")
    assert "Not compared: s3://b/a.csv: line 2 has quantity &#39;two&#39;" in (tmp_path / "r.html").read_text()
    write_report(tmp_path / "r.html", drift(), {}, {})
    assert "True counts" not in (tmp_path / "r.html").read_text()
