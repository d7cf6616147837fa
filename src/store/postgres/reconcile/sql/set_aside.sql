-- Gives a turn back: the run may be taken up again after so long. A turn that does not count is no try.
UPDATE scrip_reconciliations AS r SET
    retry_at = clock_timestamp() + $2::bigint * interval '1 microsecond',
    tries = CASE WHEN $3::boolean THEN r.tries ELSE greatest(r.tries - 1, 0) END
WHERE r.id = $1::bigint
