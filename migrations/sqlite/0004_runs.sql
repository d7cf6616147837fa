-- Runs that are taken up again: which taking-up may write, which fetch a run judges by, and when one is given up.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (4, '0.1.0');

-- The newest taking-up of this run, numbered through all runs: it alone may write, and only while no other run was
-- taken up since. 0: not yet.
ALTER TABLE scrip_reconciliations ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0);
-- The taking-up that began the fetch that is judged: events that it saw carry the number.
ALTER TABLE scrip_reconciliations ADD COLUMN pass INTEGER NOT NULL DEFAULT 0 CHECK (pass >= 0);
-- Takings-up that came to no end: of too many the run has failed.
ALTER TABLE scrip_reconciliations ADD COLUMN tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0);
-- When it may be taken up again; NULL: at once.
ALTER TABLE scrip_reconciliations ADD COLUMN retry_at TEXT CHECK (length(retry_at) = 26);
-- JSON: the days and models of the report, which a list does not read.
ALTER TABLE scrip_reconciliations ADD COLUMN detail TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX scrip_reconciliations_attempt ON scrip_reconciliations (attempt)
    WHERE attempt > 0;                                   -- the newest taking-up of all, and no number twice

-- The pass that saw the event last: a run judges those of its own. What fal corrected is not seen again.
ALTER TABLE scrip_billing_events ADD COLUMN pass INTEGER NOT NULL DEFAULT 0 CHECK (pass >= 0);
-- On which page of that pass: of equal events on two pages each is told from the other.
ALTER TABLE scrip_billing_events ADD COLUMN page INTEGER NOT NULL DEFAULT 0 CHECK (page >= 0);
-- Which of the events that say the same, from 0; part of the digest.
ALTER TABLE scrip_billing_events ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0 CHECK (ordinal >= 0);
