-- Whether there ever was a token: a row comes back if so.
SELECT id FROM scrip_tokens WHERE id > 0 LIMIT 1
