-- Gives a turn back: the run may be taken up again from then on. A turn that does not count is no try.
UPDATE scrip_reconciliations SET retry_at = ?2, tries = CASE WHEN ?3 THEN tries ELSE max(tries - 1, 0) END
WHERE id = ?1
