-- Forgets the oldest batch ids, a bounded number at a time. Ids begin with their time.
DELETE FROM scrip_commits
WHERE id IN (SELECT c.id FROM scrip_commits AS c WHERE c.id < $1 ORDER BY c.id LIMIT $2)
