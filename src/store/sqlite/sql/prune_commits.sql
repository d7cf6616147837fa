-- Batch ids nobody can still ask for: version 7 ids sort by time, so older ones are smaller.
DELETE FROM scrip_commits WHERE id IN (SELECT id FROM scrip_commits WHERE id < ?1 ORDER BY id LIMIT ?2)
