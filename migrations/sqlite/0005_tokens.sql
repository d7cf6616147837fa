-- Tokens: by what callers prove who they are. A row stays when its token is revoked: that there ever was one is what
-- keeps a server from serving callers without a name.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (5, '0.1.0');

CREATE TABLE scrip_tokens (
    id         INTEGER PRIMARY KEY,                      -- what an operator calls it by
    name       TEXT NOT NULL,                            -- the caller's, as entries and the audit log say it
    slot       INTEGER NOT NULL CHECK (slot IN (1, 2)),  -- a name has two at once at most: one is replaced by the other
    digest     BLOB NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the token; the token itself is nowhere
    roles      TEXT NOT NULL CHECK (roles <> ''),        -- words parted by commas
    first_user INTEGER CHECK (first_user >= 1),          -- of the users it may touch; NULL: all
    last_user  INTEGER,                                  -- the last of them
    created_at TEXT NOT NULL CHECK (length(created_at) = 26),
    expires_at TEXT CHECK (length(expires_at) = 26),     -- NULL: never
    revoked_at TEXT CHECK (length(revoked_at) = 26),     -- NULL while it is not
    CHECK ((first_user IS NULL) = (last_user IS NULL)),
    CHECK (first_user <= last_user)
) STRICT;
CREATE UNIQUE INDEX scrip_tokens_digest ON scrip_tokens (digest);                              -- one token, one row
CREATE UNIQUE INDEX scrip_tokens_slot ON scrip_tokens (name, slot) WHERE revoked_at IS NULL;   -- also those to load

-- The audit log tells who made and revoked them. SQLite cannot change a condition: the table is made anew, row by row
-- as it was.
CREATE TABLE scrip_audit_log_next (
    id           INTEGER PRIMARY KEY,                    -- the order of writing
    at           TEXT NOT NULL CHECK (length(at) = 26),
    actor        TEXT NOT NULL,
    subject_kind TEXT NOT NULL
                 CHECK (subject_kind IN ('account', 'workspace', 'lease', 'reconciliation', 'token')),
    subject      TEXT NOT NULL,
    account_id   INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    changes      TEXT NOT NULL                           -- JSON: [before, after] by field; never a secret
) STRICT;
INSERT INTO scrip_audit_log_next (id, at, actor, subject_kind, subject, account_id, reason, changes)
SELECT id, at, actor, subject_kind, subject, account_id, reason, changes FROM scrip_audit_log ORDER BY id;
DROP TABLE scrip_audit_log;
ALTER TABLE scrip_audit_log_next RENAME TO scrip_audit_log;
CREATE INDEX scrip_audit_log_account ON scrip_audit_log (account_id, id); -- the history of one account, newest first
CREATE TRIGGER scrip_audit_log_keep BEFORE UPDATE ON scrip_audit_log
BEGIN SELECT RAISE(ABORT, 'scrip_audit_log is append-only'); END;
CREATE TRIGGER scrip_audit_log_stay BEFORE DELETE ON scrip_audit_log
BEGIN SELECT RAISE(ABORT, 'scrip_audit_log is append-only'); END;
