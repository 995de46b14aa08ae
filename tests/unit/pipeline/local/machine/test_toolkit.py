import pytest

from pipeline.local.machine.toolkit import Cluster, LauncherError, command

CLUSTER = Cluster(node_rank=1, nodes=2, processes_per_host=4, master_address="127.0.0.1", master_port=7777)
BASE = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/code", "epochs": "3"}


@pytest.fixture
def image(tmp_path):
    (tmp_path / "train.py").write_text("")
    return tmp_path


def test_torchrun_is_started_with_the_place_of_the_host_and_the_programs_own_hyperparameters(image):
    hyperparameters = {**BASE, "sagemaker_torch_distributed_enabled": "true", "_tuning_objective_metric": "x"}
    assert command(hyperparameters, image, CLUSTER) == [
        "torchrun",
        "--nnodes=2",
        "--nproc_per_node=4",
        "--node_rank=1",
        "--master_addr=127.0.0.1",
        "--master_port=7777",
        str(image / "train.py"),
        "--epochs",
        "3",
    ]


def test_smddp_is_refused_with_the_reason(image):
    with pytest.raises(LauncherError, match="SMDDP exists in AWS's images"):
        command({**BASE, "sagemaker_distributed_dataparallel_enabled": "true"}, image, CLUSTER)


def test_several_hosts_without_a_launcher_are_refused(image):
    with pytest.raises(LauncherError, match="sagemaker_torch_distributed_enabled"):
        command(BASE, image, CLUSTER)


def test_one_host_without_a_launcher_runs_the_program(image):
    alone = Cluster(0, 1, 1, "127.0.0.1", 7777)
    assert command(BASE, image, alone) == ["python3", str(image / "train.py"), "--epochs", "3"]


@pytest.mark.parametrize(
    "change",
    [{"sagemaker_program": "other.py"}, {"sagemaker_submit_directory": "s3://b/code"}, {"sagemaker_program": "../x"}],
)
def test_a_program_that_is_not_in_the_image_is_refused(image, change):
    with pytest.raises(LauncherError):
        command({**BASE, **change}, image, CLUSTER)


@pytest.mark.parametrize(
    "program", ["/etc/passwd", "../outside.py", "a/../../outside.py", "link.py", "folder/outside.py", "."]
)
def test_a_program_of_this_machine_is_refused(image, program):
    """The kind: a path in a request that names a file outside the container."""
    outside = image.parent / "outside.py"
    outside.write_text("")
    (image / "a").mkdir()
    (image / "link.py").symlink_to(outside)
    (image / "folder").symlink_to(image.parent)
    with pytest.raises(LauncherError, match="leaves /opt/ml/code"):
        command({**BASE, "sagemaker_program": program}, image, CLUSTER)


@pytest.mark.parametrize("program", ["", "none-such.py", "package"])
def test_a_program_that_does_not_exist_is_named(image, program):
    (image / "package").mkdir()
    with pytest.raises(LauncherError, match="no program"):
        command({**BASE, "sagemaker_program": program}, image, CLUSTER)
