"""The machine: what is installed, measured or imagined."""
