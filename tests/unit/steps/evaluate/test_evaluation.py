"""The outputs of a job besides the report: the JSON by its schema, and the model card."""

import json

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from pipeline import ROOT
from steps.contracts.evaluation import CARD, FILE, Evaluation
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
    assert "1 photos could not be used" in content["additional_information"]["caveats_and_recommendations"]
    hyperparameters = content["training_details"]["training_job_details"]["hyper_parameters"]
    assert hyperparameters == [{"name": "epochs", "value": "3"}]


def test_the_model_card_keeps_to_the_registrys_parts(job, evaluation):
    # https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema
    content = card(job)
    assert set(content) == {
        "model_overview",
        "intended_uses",
        "training_details",
        "evaluation_details",
        "additional_information",
    }
    assert set(content["model_overview"]) <= {"model_creator", "model_artifact"}
    assert len(json.dumps(content)) < 100_000


def test_nothing_is_left_for_the_gate_when_the_report_cannot_be_written(job, monkeypatch):
    job.store(photos(3, 100))
    job.put_model()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("steps.evaluate.run.write_report", fail)
    with pytest.raises(OSError, match="no space"):
        job.run()
    assert not (job.output / FILE).exists()
