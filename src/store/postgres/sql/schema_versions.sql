-- What has been applied, and the oldest release that can live with it.
SELECT s.version, s.oldest_binary FROM scrip_schema AS s ORDER BY s.version
