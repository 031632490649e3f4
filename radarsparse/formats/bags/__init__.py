"""Radar clouds out of ROS bags, enhanced clouds into them."""

from radarsparse.formats.bags.kinds import BagKind, find_kind, is_bag
from radarsparse.formats.bags.topics import (
    RadarMessage,
    RadarTopic,
    open_radar_topic,
    read_radar_topic,
)
from radarsparse.formats.bags.writing import encode_cloud, write_bag

__all__ = [
    "BagKind",
    "RadarMessage",
    "RadarTopic",
    "encode_cloud",
    "find_kind",
    "is_bag",
    "open_radar_topic",
    "read_radar_topic",
    "write_bag",
]
