import pytest

from steps.contracts.errors import StepError
from steps.train.world import BackendChoice, World, choose_backend

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
P4D = "ml.p4d.24xlarge"


def choose(requested="auto", *, cuda=True, instance_type=P4D, smddp_installed=True, mpi=True) -> BackendChoice:
    return choose_backend(requested, cuda=cuda, instance_type=instance_type, smddp_installed=smddp_installed, mpi=mpi)


def test_torchruns_variables_tell_the_rank():
    assert World.detect(TORCHRUN) == World(3, 4, 1, 2)


def test_mpiruns_variables_tell_the_rank():
    names = {"RANK": "1", "SIZE": "8", "LOCAL_RANK": "1", "LOCAL_SIZE": "8"}
    assert World.detect({f"OMPI_COMM_WORLD_{k}": v for k, v in names.items()}) == World(1, 8, 1, 8)


def test_mpiruns_variables_count_where_its_launcher_sets_some_of_torchruns_too():
    names = {"RANK": "9", "SIZE": "16", "LOCAL_RANK": "1", "LOCAL_SIZE": "8"}
    environ = {f"OMPI_COMM_WORLD_{k}": v for k, v in names.items()} | {"RANK": "9", "WORLD_SIZE": "16"}
    assert World.detect(environ) == World(9, 16, 1, 8)


def test_a_process_without_a_launcher_is_alone():
    assert World.detect({}) == World(0, 1, 0, 1)


@pytest.mark.parametrize("change", [{"RANK": "4"}, {"RANK": "x"}, {"LOCAL_RANK": "2"}, {"LOCAL_WORLD_SIZE": "8"}])
def test_variables_that_contradict_each_other_are_refused(change):
    with pytest.raises(StepError, match="launcher"):
        World.detect({**TORCHRUN, **change})


def test_the_processes_of_an_instance_share_its_cores():
    assert World(0, 4, 0, 2).threads({"SM_NUM_CPUS": "16", "MASTER_ADDR": "algo-1"}) == 8


def test_instances_that_are_processes_of_one_machine_share_its_cores():
    assert World(0, 2, 0, 1).threads({"SM_NUM_CPUS": "2", "MASTER_ADDR": "127.0.0.1"}) == 1


def test_smddp_is_taken_where_it_is_installed_and_runs():
    assert choose().backend == "smddp"


@pytest.mark.parametrize(
    ("circumstances", "reason"),
    [
        ({"instance_type": "ml.g5.2xlarge"}, "ml.g5.2xlarge"),
        ({"smddp_installed": False}, "not installed"),
        ({"mpi": False}, "mpirun"),
    ],
)
def test_nccl_is_taken_on_gpus_where_smddp_cannot_run_and_the_reason_is_given(circumstances, reason):
    choice = choose(**circumstances)
    assert choice.backend == "nccl"
    assert reason in choice.reason


def test_gloo_is_taken_on_cpus():
    assert choose(cuda=False, instance_type="ml.m5.large", smddp_installed=False).backend == "gloo"


def test_smddp_on_an_instance_that_cannot_run_it_is_refused_with_those_that_can():
    with pytest.raises(StepError, match=r"ml\.p4de\.24xlarge"):
        choose("smddp", instance_type="ml.g5.2xlarge")


def test_nccl_without_a_gpu_is_refused():
    with pytest.raises(StepError, match="needs a GPU"):
        choose("nccl", cuda=False)


def test_gloo_is_taken_when_it_is_requested_on_gpus():
    assert choose("gloo") == ("gloo", "requested")
