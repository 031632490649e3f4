"""Radar clouds out of ROS bags, enhanced clouds into them."""
