import numpy as np

from radarsparse.geometry import transform_points
from radarsparse.scan import merge_sweeps


def test_a_post_seen_while_driving_by_stays_where_it_is():
    random = np.random.default_rng(0)
    post = np.array([[12.0, 3.0, 0.5, -2.0, 60.0]], dtype=np.float32)
    angle = 0.1
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, 3] = random.normal(size=3)
    earlier = transform_points(np.linalg.inv(turned), post)
    merged = merge_sweeps([post, earlier], [np.eye(4), turned])
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, np.repeat(post, 2, axis=0), rtol=1e-6, atol=1e-6)
