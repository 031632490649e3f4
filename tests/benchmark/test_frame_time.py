from radarsparse.benchmark import frame_time


def test_every_way_to_draw_is_timed(monkeypatch) -> None:
    monkeypatch.setattr(frame_time, "FRAMES", 1)
    rows = list(frame_time.time_enhance(1))
    names = ["regression", "as shipped", "by the torch engine", "with a draw"]
    assert [row["drawn"] for row in rows] == names
    assert all(0 < row["median_ms"] <= row["worst_ms"] for row in rows)


def test_what_ships_takes_three_passes() -> None:
    passes = []
    enhancer = frame_time.Enhancer.load()
    enhancer.network.denoiser.register_forward_hook(lambda *_: passes.append(1))
    draw = frame_time.ways_to_draw(enhancer)["as shipped"]
    draw(frame_time.simulate_pair(0, 0).radar)
    assert len(passes) == 3
