-- The places of a name that are taken, and how many tokens there are.
SELECT count(CASE WHEN name = ?1 AND slot = 1 THEN 1 END),
       count(CASE WHEN name = ?1 AND slot = 2 THEN 1 END),
       count(id)
FROM scrip_tokens
WHERE revoked_at IS NULL
