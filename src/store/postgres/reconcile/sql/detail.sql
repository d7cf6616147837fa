-- The days and models of a run's report.
SELECT r.detail FROM scrip_reconciliations AS r WHERE r.id = $1::bigint
