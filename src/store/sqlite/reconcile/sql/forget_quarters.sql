-- Another range of quarters is asked for.
DELETE FROM temp.run_quarters
