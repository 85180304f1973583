-- What sources keep beside a cursor: breakers, streams and their owners, uploads, objects seen.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

-- Section A: webhooks ----------------------------------------------------------------------------------------------

-- As before, and `known` (seconds) says for how long an earlier delivery of the same id makes one a resend; NULL: as long as
-- the ledger knows it.
DROP FUNCTION accept_payloads(uuid[], uuid[], text[], text[], text[], text[], bytea[]);
CREATE FUNCTION accept_payloads(
  pipeline uuid[], team uuid[], delivery text[], content_type text[], header text[], source text[], body bytea[], known int[]
) RETURNS TABLE (payload bigint, duplicate boolean) LANGUAGE plpgsql VOLATILE SET search_path = dash, pg_temp AS $$
DECLARE
  n CONSTANT int := cardinality(pipeline);
  ids bigint[] := ARRAY(SELECT next_payload_id() FROM generate_series(1, n));
  kept bigint[] := ids;
  arrived CONSTANT timestamptz := clock_timestamp();
BEGIN
  IF array_remove(delivery, NULL) <> '{}' THEN
    IF array_remove(known, NULL) <> '{}' THEN
      -- A payload's id is its age. Locked in the order in which they are inserted below, so that two commits never wait for
      -- each other in a circle.
      DELETE FROM delivery_ledger WHERE ctid = ANY (ARRAY(
        SELECT l.ctid FROM delivery_ledger l
        JOIN (SELECT DISTINCT p, d, k FROM unnest(pipeline, delivery, known) AS u(p, d, k)
              WHERE d IS NOT NULL AND k IS NOT NULL) w ON l.pipeline_id = w.p AND l.delivery_id = w.d
        WHERE l.payload_id < ((extract(epoch FROM arrived) - w.k) * 1000)::bigint << 20
        ORDER BY l.pipeline_id, l.delivery_id FOR UPDATE OF l));
    END IF;
    INSERT INTO delivery_ledger (pipeline_id, delivery_id, team_id, payload_id)
      SELECT d.p, d.d, (array_agg(d.t))[1], min(ids[d.ord])
      FROM unnest(pipeline, delivery, team) WITH ORDINALITY AS d(p, d, t, ord) WHERE d.d IS NOT NULL
      GROUP BY d.p, d.d ORDER BY d.p, d.d
      ON CONFLICT DO NOTHING;
    -- A later statement, so that it sees what another transaction committed while the insert waited for it.
    kept := ARRAY(
      SELECT coalesce(l.payload_id, ids[i.ord]) FROM unnest(pipeline, delivery) WITH ORDINALITY AS i(p, d, ord)
      LEFT JOIN delivery_ledger l ON l.pipeline_id = i.p AND l.delivery_id = i.d ORDER BY i.ord);
  END IF;
  INSERT INTO payloads (id, team_id, pipeline_id, received_at, content_type, headers, source, body)
    SELECT i.id, i.t, i.p, arrived, i.c, i.h, i.s, i.b
    FROM unnest(ids, kept, team, pipeline, content_type, header, source, body) AS i(id, k, t, p, c, h, s, b)
    WHERE i.id = i.k;
  WITH fresh AS (
    SELECT i.t, i.p, array_agg(i.id ORDER BY i.id) AS payload_ids, sum(octet_length(i.b)) AS bytes
    FROM unnest(ids, kept, team, pipeline, body) AS i(id, k, t, p, b) WHERE i.id = i.k GROUP BY i.p, i.t
  ), archive AS (
    INSERT INTO unarchived (team_id, pipeline_id, payload_ids, bytes) SELECT t, p, payload_ids, bytes FROM fresh
  )
  INSERT INTO batches (team_id, pipeline_id, payload_ids, bytes) SELECT t, p, payload_ids, bytes FROM fresh ORDER BY p;
  RETURN QUERY SELECT i.k, i.id <> i.k FROM unnest(ids, kept) WITH ORDINALITY AS i(id, k, ord) ORDER BY i.ord;
END $$;
REVOKE ALL ON FUNCTION accept_payloads(uuid[], uuid[], text[], text[], text[], text[], bytea[], int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accept_payloads(uuid[], uuid[], text[], text[], text[], text[], bytea[], int[]) TO dash_ingest;
-- End of section A -----------------------------------------------------------------------------------------------

-- Section B: polls ---------------------------------------------------------------------------------------------------

-- Since when a poll is stopped because it failed too often in a row, or because an answer said so; null: it is not.
ALTER TABLE polls ADD COLUMN stopped_at timestamptz;
-- End of section B ---------------------------------------------------------------------------------------------------

-- Section D: files and stores ------------------------------------------------------------------------------------

-- A file that somebody brings: received in parts, which rest in the object store, then cut into payloads. `received` and
-- `position` move in the transactions that note a part, or accept payloads.
CREATE TABLE uploads (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  name text NOT NULL,
  content_type text NOT NULL,
  format text NOT NULL,
  size bigint NOT NULL CHECK (size > 0),
  state text NOT NULL CHECK (state IN ('receiving', 'checking', 'cutting', 'done', 'failed', 'cancelled')),
  received bigint NOT NULL DEFAULT 0,   -- bytes that are here
  consumed bigint NOT NULL DEFAULT 0,   -- bytes that the state's work has come past
  position jsonb NOT NULL DEFAULT '{}', -- where that work goes on
  payloads bigint NOT NULL DEFAULT 0,
  records bigint NOT NULL DEFAULT 0,
  attempts int NOT NULL DEFAULT 0,      -- turns of work that began since it last came further
  error text NOT NULL DEFAULT '',
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX uploads_pipeline ON uploads (pipeline_id, id DESC);
CREATE INDEX uploads_open ON uploads (state, updated_at) WHERE state IN ('receiving', 'checking', 'cutting');

CREATE TABLE upload_parts (
  upload_id uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
  start bigint NOT NULL,
  size int NOT NULL CHECK (size > 0),
  key text NOT NULL UNIQUE,             -- of the object that holds it
  team_id uuid NOT NULL,
  PRIMARY KEY (upload_id, start)
);

-- What a source takes once: objects, files, entries, by the SHA-256 of what names them.
CREATE TABLE objects_seen (
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  digest bytea NOT NULL,
  team_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (pipeline_id, digest)
);

-- Whose payloads the records of a pipeline become.
CREATE INDEX pipelines_upstream ON pipelines ((source_options ->> 'pipeline')) WHERE source_kind = 'pipeline';

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['uploads', 'upload_parts', 'objects_seen'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON uploads TO dash_app;
GRANT SELECT, INSERT, DELETE ON upload_parts TO dash_app;
GRANT SELECT ON objects_seen TO dash_app;
-- End of section D -----------------------------------------------------------------------------------------------

-- Section C: streams ---------------------------------------------------------------------------------------------

-- Where a stream stands: one row a pipeline, made by its first owner. `term` rises with every owner, and what the owner of
-- an earlier term writes is refused; `batches` counts commits, so that one whose answer was lost is known for done.
CREATE TABLE stream_state (
  pipeline_id uuid PRIMARY KEY REFERENCES pipelines ON DELETE CASCADE,
  team_id uuid NOT NULL,
  cursor jsonb NOT NULL DEFAULT '{}',
  term bigint NOT NULL DEFAULT 0,
  batches bigint NOT NULL DEFAULT 0,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('connecting', 'connected', 'waiting', 'failed')),
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  error text NOT NULL DEFAULT '',
  next_at timestamptz,                  -- when it is tried again
  owner text NOT NULL DEFAULT '',       -- a node of `heartbeats`; '': nobody
  failures int NOT NULL DEFAULT 0,      -- in a row
  failing_since timestamptz,
  told_at timestamptz,                  -- when the team was told that it fails
  messages bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  refused bigint NOT NULL DEFAULT 0,    -- messages that were too large
  last_message timestamptz
) WITH (fillfactor = 50);
ALTER TABLE stream_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE stream_state FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON stream_state FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team());
CREATE POLICY everyone ON stream_state FOR ALL TO dash_ingest USING (true) WITH CHECK (true);
GRANT ALL ON stream_state TO dash_ingest;
GRANT SELECT ON stream_state TO dash_app;
-- End of section C -----------------------------------------------------------------------------------------------

RESET ROLE;
SET LOCAL search_path = "$user", public;
