"""From points to sparse voxels: features, batches, augmentation, cache."""
