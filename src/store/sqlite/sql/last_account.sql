-- The highest id an account ever had: no row of one is ever deleted.
SELECT coalesce(max(a.id), 0) FROM ts_fal_account AS a
