import torch
from torch import nn

from steps.train.average import WeightAverage


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double()


def change(what: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in what.parameters():
            parameter.fill_(value)


def test_an_average_begins_as_the_network_and_follows_it_at_first_fast_then_by_its_decay():
    trained = network()
    change(trained, 1.0)
    average = WeightAverage(trained, decay=0.5)
    seen = []
    for _ in range(12):
        change(trained, 2.0)
        before = average.network[0].weight[0, 0].item()
        average.update()
        after = average.network[0].weight[0, 0].item()
        seen.append((2.0 - after) / (2.0 - before))
    wanted = [min(0.5, (1 + n) / (10 + n)) for n in range(12)]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(wanted))
    assert wanted[-1] == 0.5


def test_statistics_of_batch_normalisation_are_averaged_and_counters_copied():
    trained = network()
    average = WeightAverage(trained, decay=0.9)
    trained(torch.randn(8, 3).double() + 5)
    average.update()
    assert 0 < average.network[1].running_mean[0] / trained[1].running_mean[0] < 1
    assert average.network[1].num_batches_tracked == 1


def test_an_average_goes_on_where_its_state_was_taken():
    trained = network()
    one = WeightAverage(trained, decay=0.999)
    for step in range(3):
        change(trained, float(step))
        one.update()
    other = WeightAverage(trained, decay=0.999)
    other.load_state_dict(one.state_dict())
    change(trained, 9.0)
    one.update()
    other.update()
    for a, b in zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_average_takes_no_gradients():
    average = WeightAverage(network(), decay=0.9)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
