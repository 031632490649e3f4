"""Looking at radar, enhanced and LiDAR clouds: in a window, as pictures and films, in a browser."""
