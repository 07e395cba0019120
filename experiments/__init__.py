import derm  # noqa: F401  (its settings have to stand before numpy is loaded)
