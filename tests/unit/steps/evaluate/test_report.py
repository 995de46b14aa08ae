"""The report: one file that loads no other, with the results of the evaluation."""

import base64
import re
from html.parser import HTMLParser

import pytest
import simplejpeg

from steps.contracts import evaluation as evaluation_contract
from steps.contracts import query_summary, shard_summary
from steps.contracts.shard_summary import Leakage, Overlap
from steps.evaluate import photo_samples
from steps.train.history import EpochRecord, History
from tests.unit.pipeline.operations.dataset.test_description import queried
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.train.photos import photos

HISTORY = History(
    epochs=[
        EpochRecord(
            epoch=epoch,
            train_loss=2 / epoch,
            validation_loss=2.5 / epoch,
            validation_accuracy=1 - 1 / (epoch + 1),
            validation_rmse=1 / epoch,
            per_class={0: 0.5},
            learning_rate=0.1,
            seconds=1,
            images_per_second=100,
            data_wait_share=0,
        )
        for epoch in range(1, 5)
    ]
)


class Page(HTMLParser):
    """What a page's elements refer to, and whether they are all closed."""

    VOID = frozenset({"meta", "img", "br", "line", "circle", "polyline"})

    def __init__(self, text):
        super().__init__()
        self.references, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def report(job):
    test = [*photos(6, 100), mislabelled("far<script>", 0, 2), mislabelled("near", 1, 2)]
    job.store(test, rejects={"not-jpeg": ["9001", "<script>alert(1)</script>"]})
    job.put_model(history=HISTORY.model_dump_json())
    job.run()
    return job.report()


def test_it_is_one_whole_file(report):
    page = Page(report)
    assert page.open == []
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert "@import" not in report
    assert "url(" not in report
    assert "{{" not in report


def test_its_photos_can_be_seen(report):
    photos_shown = [reference.partition(",")[2] for reference in Page(report).references]
    assert photos_shown
    for encoded in photos_shown:
        assert simplejpeg.decode_jpeg(base64.b64decode(encoded)).size


def test_it_opens_with_the_numbers_of_the_gate(report):
    assert "75.0%" in report
    assert f"{(5 / 8) ** 0.5:.3f}" in report


def test_the_worst_mistake_comes_first_and_names_are_escaped(report):
    assert report.index("far&lt;script&gt;") < report.index("photo near")
    assert "<script" not in report
    assert "true 2, predicted 0" in report


def test_it_names_the_photos_left_out(report):
    assert "not-jpeg" in report
    assert "9001, &lt;script&gt;alert(1)&lt;/script&gt;" in report


def test_what_the_query_and_the_shards_left_out_is_one_truth(job, monkeypatch):
    """The kind: two places that say different things; the report, the evaluation and the model card have one sum."""
    job.store(photos(6, 100), rejects={"not-jpeg": ["9001"], "truncated": ["7", "8"]})
    # The originals, which the monitor's baseline measures, are in no bucket of this test.
    monkeypatch.setattr(photo_samples.Baseline, "write", lambda self, path, image_location: None)
    job.put("summary", query_summary.NAME, queried(malformed=286, **{"above-maximum": 40}))
    job.put_model()
    evaluation = job.run()
    assert evaluation["dataset"]["rejected"] == 286 + 40 + 3
    assert {each["reason"]: each["photos"] for each in evaluation["dataset"]["left_out"]} == {
        "malformed": 286,
        "above-maximum": 40,
        "truncated": 2,
        "not-jpeg": 1,
    }
    card = (job.output / evaluation_contract.CARD).read_text()
    assert "329 photos left out" in card
    report = job.report()
    for cells in (["QueryMetadata", "malformed", "286"], ["ShardImages", "truncated", "2"]):
        assert "".join(f"<td>{cell}</td>" for cell in cells) in report


@pytest.mark.parametrize(("ours", "at_random"), [((100, 5), (50, 25)), ((3, 0), (8, 8)), ((0, 0), (10, 1))])
def test_each_split_is_a_share_of_its_own_photos(job, ours, at_random):
    """The kind: a share whose denominator is another thing's count. A random split has held-out photos of its own."""
    job.store(photos(6, 100), rejects={})
    path = job.base / "processing/input/sharding" / shard_summary.NAME
    summary = shard_summary.read_summary(path.parent)
    splits = [Overlap(photos=photos, same_bin=shared, same_item=shared) for photos, shared in (ours, at_random)]
    leakage = Leakage(split=splits[0], random=splits[1])
    path.write_text(summary.model_copy(update={"leakage": leakage}).model_dump_json())
    job.put_model()
    job.run()
    row = job.report().partition("<td>same bin</td>")[2].partition("</tr>")[0]
    expected = [f"{shared} ({shared / photos:.1%})" if photos else str(shared) for photos, shared in (ours, at_random)]
    assert re.findall(r"<td>(.*?)</td>", row) == expected


def test_a_curve_has_a_point_for_every_epoch(report):
    training = report.partition("Training curves")[2]
    curves = re.findall(r'<polyline class="line\d" points="([^"]*)"', training)
    assert len(curves) == 4
    assert all(len(points.split()) == len(HISTORY.epochs) for points in curves)


def test_the_epoch_of_the_model_is_marked_and_not_that_of_the_best_accuracy(job):
    marks = []
    for epoch in (2.0, 4.0):
        job.store(photos(3, 100))
        job.put_model(history=HISTORY.model_dump_json(), metrics={"epoch": epoch})
        job.run()
        training = job.report().partition("Training curves")[2]
        marks.append(re.findall(r'<line class="best" x1="([^"]*)"', training))
    assert [len(set(places)) for places in marks] == [1, 1]
    assert float(marks[0][0]) < float(marks[1][0])


def test_it_is_readable_in_the_dark_and_on_a_telephone(report):
    assert "prefers-color-scheme: dark" in report
    assert "width=device-width" in report


def test_a_model_without_mistakes_or_history_has_a_report_too(job):
    job.store(photos(6, 100))
    job.put_model()
    job.run()
    assert "every count is correct" in job.report()
    assert "contains no training history" in job.report()


def test_where_no_metadata_name_a_bin_the_report_and_the_evaluation_say_that_leakage_is_unknown(job):
    """The kind: an unknown value that is shown as a measured zero."""
    overlap = Overlap(photos=9, same_bin=0, same_item=0)
    leakage = Leakage(split=overlap, random=overlap, photos=9, unknown=9)
    job.store([*photos(6, 100)], rejects={}, leakage=leakage)
    job.put_model(history=HISTORY.model_dump_json())
    evaluation = job.run()
    assert "Leakage is not known: the metadata name no items and no group" in job.report()
    assert "in a random split" not in job.report()
    assert evaluation["dataset"]["same_bin"] is None
