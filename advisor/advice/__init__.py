"""What to do: keep, tune, upgrade, build, rent an API, or mix. The way in is ``advise.advise``."""
