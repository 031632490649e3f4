import torch

from radarsparse.benchmark.sparse import Case, time_case


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


def test_a_case_is_the_same_at_every_call():
    assert torch.equal(Case(500, 3.0).support().coords, Case(500, 3.0).support().coords)
