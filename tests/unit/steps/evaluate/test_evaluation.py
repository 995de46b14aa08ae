"""The outputs of a job besides the report: the JSON by its schema, and the model card."""

import html
import json

import jsonschema
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pipeline import ROOT
from pipeline.aws.model_card import problems_of_model_card
from steps.contracts.dataset import read_index
from steps.contracts.evaluation import CARD, FILE, Evaluation
from steps.contracts.imagenet_weights import LICENCE
from steps.contracts.statistics.tally import Confusion
from steps.evaluate import metrics
from steps.evaluate.artifact import unpack
from steps.evaluate.card import write_card
from steps.model.predictor import Predictor
from tests.unit.steps.evaluate.conftest import mislabelled
from tests.unit.steps.train.photos import photos

SCHEMA = json.loads((ROOT / "docs/evaluation.schema.json").read_text())


@pytest.fixture
def evaluation(job):
    job.store([*photos(9, 100), mislabelled("far", 0, 2)], rejects={"not-jpeg": ["9001"]})
    job.put_model(metrics={"validation:accuracy": 0.5}, hyperparameters={"epochs": "3", "weights": ""})
    return job.run()


def test_the_schema_in_the_documentation_is_the_contracts():
    own = Evaluation.model_json_schema()
    assert {**own, "$schema": "", "title": ""} == {**SCHEMA, "$schema": "", "title": ""}


def test_it_is_valid_by_its_schema(evaluation):
    Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(evaluation, SCHEMA)


@pytest.mark.parametrize("broken", [{"gate": None}, {"decision": "median"}, {"more": 1}, {"dataset": {}}])
def test_a_broken_one_is_not(evaluation, broken):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(evaluation | broken, SCHEMA)


def test_it_has_the_groups_that_sagemaker_draws(evaluation):
    # https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
    drawn = evaluation["multiclass_classification_metrics"]
    names = ("accuracy", "weighted_recall", "weighted_precision", "weighted_f0_5", "weighted_f1", "weighted_f2")
    constant = {f"{name}_best_constant_classifier" for name in names}
    assert set(drawn) == {"confusion_matrix", *names, *constant}
    assert set(evaluation["regression_metrics"]) == {"mae", "mse", "rmse", "r2"}
    for metric in (*(drawn[name] for name in names), *evaluation["regression_metrics"].values()):
        assert set(metric) == {"value", "standard_deviation"}
    assert evaluation["dataset"]["item_count"] == 10


def card(job):
    content = json.loads((job.output / CARD).read_text())["content"]
    assert isinstance(content, str)
    return json.loads(content)


def test_the_model_card_contains_the_evaluation(job, evaluation):
    content = card(job)
    (evaluated,) = content["evaluation_details"]
    summary, by_count = (group["metric_data"] for group in evaluated["metric_groups"])
    values = {metric["name"]: metric["value"] for metric in summary}
    assert values["accuracy"] == evaluation["multiclass_classification_metrics"]["accuracy"]["value"]
    assert values["RMSE"] == evaluation["regression_metrics"]["rmse"]["value"]
    assert by_count[1]["value"] == [[3, 0, 0], [0, 3, 0], [1, 0, 3]]
    assert content["intended_uses"]["purpose_of_model"]
    assert "1 photo left out of all metrics" in content["additional_information"]["caveats_and_recommendations"]
    hyperparameters = content["training_details"]["training_job_details"]["hyper_parameters"]
    assert hyperparameters == [{"name": "epochs", "value": "3"}]


def test_the_model_card_keeps_to_the_registrys_schema(job, evaluation):
    assert problems_of_model_card(json.dumps(card(job))) == []


@pytest.mark.parametrize(("classes", "charts"), [(3, 2), (20, 2), (21, 0), (200, 0), (1000, 0)])
def test_the_model_card_of_many_counts_keeps_to_the_schema_and_names_the_report(job, evaluation, classes, charts):
    counts = tuple(range(classes))
    many = Evaluation.model_validate(evaluation).model_copy(
        update={
            "multiclass_classification_metrics": metrics.classification(Confusion(counts, np.eye(classes, dtype=int))),
            "per_class": metrics.per_class(Confusion(counts, np.eye(classes, dtype=int))),
        }
    )
    description = Predictor.load(unpack(job.model)).description
    content = json.loads(write_card(many, description, read_index(job.base / "processing/input/index")))["content"]
    assert problems_of_model_card(content) == []
    (evaluated,) = json.loads(content)["evaluation_details"]
    drawn = [metric for group in evaluated["metric_groups"][1:] for metric in group["metric_data"]]
    assert [len(metric["value"]) for metric in drawn] == [classes] * charts
    assert (f"of {classes:,} counts is in the report" in evaluated["evaluation_observation"]) == (charts == 0)


def test_bars_of_few_counts_stay_next_to_a_matrix_of_too_many(job, evaluation):
    photos_of_some = np.zeros((30, 30), dtype=int)
    photos_of_some[:5, 7] = 1
    many = Confusion(tuple(range(30)), photos_of_some)
    changed = Evaluation.model_validate(evaluation).model_copy(
        update={
            "multiclass_classification_metrics": metrics.classification(many),
            "per_class": metrics.per_class(many),
        }
    )
    description = Predictor.load(unpack(job.model)).description
    content = json.loads(write_card(changed, description, read_index(job.base / "processing/input/index")))["content"]
    assert problems_of_model_card(content) == []
    (chart,) = json.loads(content)["evaluation_details"][0]["metric_groups"][1]["metric_data"]
    assert (chart["type"], chart["x_axis_name"]) == ("bar_chart", ["0", "1", "2", "3", "4"])


def test_a_long_hyperparameter_is_cut_to_what_a_card_accepts(job):
    job.store(photos(3, 100))
    job.put_model(hyperparameters={"weights": "s3://bucket/" + "w" * 300})
    job.run()
    (weights,) = card(job)["training_details"]["training_job_details"]["hyper_parameters"]
    assert weights["value"].startswith("s3://bucket/ww")
    assert weights["value"].endswith("...")
    assert problems_of_model_card(json.dumps(card(job))) == []


def test_nothing_is_left_for_the_gate_when_the_report_cannot_be_written(job, monkeypatch):
    job.store(photos(3, 100))
    job.put_model()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("steps.evaluate.run.write_report", fail)
    with pytest.raises(OSError, match="no space"):
        job.run()
    assert not (job.output / FILE).exists()


@pytest.mark.parametrize(
    ("weights", "origin", "has_terms"),
    [
        ("", "random", False),
        ("s3://mine/resnet.pth", "s3://mine/resnet.pth", False),
        (
            "s3://bins/p/weights/resnet34-b627a593.pth",
            "torchvision's IMAGENET1K_V1, trained on ImageNet-1K: https://download.pytorch.org/models/"
            "resnet34-b627a593.pth",
            True,
        ),
    ],
)
def test_the_card_and_the_report_name_where_the_training_began_and_its_terms(job, weights, origin, has_terms):
    job.store(photos(3, 100))
    job.put_model(hyperparameters={"weights": weights})
    job.run()
    information = card(job)["additional_information"]
    assert information["custom_details"]["initial_weights"] == origin
    assert (LICENCE in information["caveats_and_recommendations"]) == has_terms
    assert problems_of_model_card(json.dumps(card(job))) == []
    page = html.unescape(job.report())
    assert origin in page
    assert (LICENCE in page) == has_terms
