-- Another range of quarters is asked for.
CLOSE run_quarters
