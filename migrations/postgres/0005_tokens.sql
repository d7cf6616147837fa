-- Tokens: by what callers prove who they are. A row stays when its token is revoked: that there ever was one is what
-- keeps a server from serving callers without a name.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (5, '0.1.0');

CREATE TABLE scrip_tokens (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- what an operator calls it by
    name       text NOT NULL,                            -- the caller's, as entries and the audit log say it
    slot       smallint NOT NULL CHECK (slot IN (1, 2)), -- a name has two at once at most: one is replaced by the other
    digest     bytea NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the token; the token itself is nowhere
    roles      text NOT NULL CHECK (roles <> ''),        -- words parted by commas
    first_user bigint CHECK (first_user >= 1),           -- of the users it may touch; NULL: all
    last_user  bigint,                                   -- the last of them
    created_at timestamptz NOT NULL,
    expires_at timestamptz,                              -- NULL: never
    revoked_at timestamptz,                              -- NULL while it is not
    CHECK ((first_user IS NULL) = (last_user IS NULL)),
    CHECK (first_user <= last_user)
);
CREATE UNIQUE INDEX scrip_tokens_digest ON scrip_tokens (digest);                              -- one token, one row
CREATE UNIQUE INDEX scrip_tokens_slot ON scrip_tokens (name, slot) WHERE revoked_at IS NULL;   -- also those to load

-- The audit log tells who made and revoked them.
ALTER TABLE scrip_audit_log
    DROP CONSTRAINT scrip_audit_log_subject_kind_check,
    ADD CONSTRAINT scrip_audit_log_subject_kind_check
        CHECK (subject_kind IN ('account', 'workspace', 'lease', 'reconciliation', 'token'));
