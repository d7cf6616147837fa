-- A new pass asks for everything anew. A page that could not be read is kept.
UPDATE scrip_reconciliation_fetches AS f
SET position = '', pages = 0, rows = 0, state = 'running', result = '', error = ''
WHERE f.run_id = $1::bigint
