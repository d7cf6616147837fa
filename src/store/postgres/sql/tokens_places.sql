-- The places of a name that are taken, and how many tokens there are.
SELECT
    coalesce(bool_or(t.name = $1::text AND t.slot = 1), false) AS first_taken,
    coalesce(bool_or(t.name = $1::text AND t.slot = 2), false) AS second_taken,
    count(t.id) AS live
FROM scrip_tokens AS t
WHERE t.revoked_at IS NULL
