import torch

from radarsparse.benchmark.convolution_time import Case, time_case
from tests.pretended.kernels import pretended_gpu


def test_surfaces_hold_as_many_voxels_as_asked_in_several_samples():
    support = Case(5000).support()
    assert len(support) == 5000
    assert support.batch_size > 1


def test_a_cube_holds_as_many_neighbours_as_asked():
    result = time_case(Case(3000, 8.0), 4, repeats=1)
    # Voxels at the cube's sides lack a third of their neighbours; a sixth of all lie there.
    assert 6.5 < result["neighbours"] < 8.5
    assert result["voxels"] == 3000
    assert result["peak_bytes"]["torch"] > 0
    assert result["plan_s"].keys() == result["forward_s"].keys() >= {"torch"}


def test_a_gpu_is_taken_where_there_is_one(library, monkeypatch):
    monkeypatch.setattr("radarsparse.benchmark.convolution_time.find_spec", lambda _: None)
    assert time_case(Case(200, 4.0), 4, repeats=1)["device"].startswith("cpu, ")
    with pretended_gpu(library) as device:
        row = time_case(Case(200, 4.0), 4, repeats=1)
        assert row["device"] == torch.cuda.get_device_name()
    assert device.launches.total() > 0
    assert row["plan_s"].keys() == row["forward_s"].keys() == {"torch"}


def test_a_case_is_the_same_at_every_call():
    assert torch.equal(Case(500, 3.0).support().coords, Case(500, 3.0).support().coords)
