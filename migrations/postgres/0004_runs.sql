-- Runs that are taken up again: which taking-up may write, which fetch a run judges by, and when one is given up.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (4, '0.1.0');

ALTER TABLE scrip_reconciliations
    -- The newest taking-up of this run, numbered through all runs: it alone may write, and only while no other run was
    -- taken up since. 0: not yet.
    ADD COLUMN attempt bigint NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    -- The taking-up that began the fetch that is judged: events that it saw carry the number.
    ADD COLUMN pass bigint NOT NULL DEFAULT 0 CHECK (pass >= 0),
    -- Takings-up that came to no end: of too many the run has failed.
    ADD COLUMN tries bigint NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- When it may be taken up again; NULL: at once.
    ADD COLUMN retry_at timestamptz,
    -- JSON: the days and models of the report, which a list does not read.
    ADD COLUMN detail text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX scrip_reconciliations_attempt ON scrip_reconciliations (attempt)
    WHERE attempt > 0;                                   -- the newest taking-up of all, and no number twice

ALTER TABLE scrip_billing_events
    -- The pass that saw the event last: a run judges those of its own. What fal corrected is not seen again.
    ADD COLUMN pass bigint NOT NULL DEFAULT 0 CHECK (pass >= 0),
    -- On which page of that pass: of equal events on two pages each is told from the other.
    ADD COLUMN page bigint NOT NULL DEFAULT 0 CHECK (page >= 0),
    -- Which of the events that say the same, from 0; part of the digest.
    ADD COLUMN ordinal bigint NOT NULL DEFAULT 0 CHECK (ordinal >= 0);
