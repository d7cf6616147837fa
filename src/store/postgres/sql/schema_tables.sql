-- The tables by which scrip knows its own schema, and those that only look like it, in one snapshot of the catalogue.
SELECT c.relname::text AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema()
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (c.relname = 'scrip_schema' OR starts_with(c.relname::text, 'ts_'))
ORDER BY c.relname
