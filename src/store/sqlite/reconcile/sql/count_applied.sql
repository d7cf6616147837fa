-- Counts the costs that a chunk has written.
UPDATE scrip_reconciliations SET costs_applied = costs_applied + ?2 WHERE id = ?1
