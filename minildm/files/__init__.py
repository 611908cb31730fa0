"""What lies on disk: pictures, checkpoints, whole models, data sets that are fetched."""
