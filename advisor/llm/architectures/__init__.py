"""One module per architecture family: hyperparameters to tensor list, caches and graph."""
