-- The batch's moment, where it names neither tasks nor requests: after the locks, so that time never runs backwards.
SELECT clock_timestamp() AS now
