"""Usage, costs, options and the verdict."""
