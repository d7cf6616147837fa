-- What has been applied to this file, and which binaries can still serve it.
SELECT version, oldest_binary FROM scrip_schema ORDER BY version
