-- Whether there ever was a token.
SELECT EXISTS (SELECT 1 FROM scrip_tokens AS t) AS any
