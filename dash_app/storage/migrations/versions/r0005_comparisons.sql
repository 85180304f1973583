-- Comparisons of two mappings over all of a pipeline's payloads. A worker goes through them in batches and keeps what it
-- has found with its position in one commit, so that whoever comes after it goes on from there.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

CREATE TABLE comparisons (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  version_a int NOT NULL,
  version_b int,                    -- null: `document_b`, which is not saved as a version
  document_b text NOT NULL DEFAULT '',
  from_id bigint NOT NULL,          -- payloads from_id <= id < to_id
  to_id bigint NOT NULL,
  from_time timestamptz,            -- as it was asked; null: from the first, up to the moment of asking
  to_time timestamptz,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  position bigint NOT NULL,         -- payloads below it are in `difference`
  payloads bigint NOT NULL DEFAULT 0,
  total bigint NOT NULL,            -- payloads that there are to compare, about
  records bigint NOT NULL DEFAULT 0,
  seconds double precision NOT NULL DEFAULT 0, -- of work, pauses between turns left out
  difference text NOT NULL DEFAULT '', -- JSON; as text, since jsonb would write its floats otherwise
  attempts int NOT NULL DEFAULT 0,  -- turns begun since something was kept
  error text NOT NULL DEFAULT '',
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  touched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  CHECK ((version_b IS NULL) = (document_b <> ''))
) WITH (fillfactor = 50);
CREATE INDEX comparisons_pipeline ON comparisons (pipeline_id, id DESC);
CREATE INDEX comparisons_open ON comparisons (touched_at) WHERE state IN ('queued', 'running');

ALTER TABLE comparisons ENABLE ROW LEVEL SECURITY;
ALTER TABLE comparisons FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON comparisons FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team());
CREATE POLICY everyone ON comparisons FOR ALL TO dash_ingest USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON comparisons TO dash_app;
GRANT ALL ON comparisons TO dash_ingest;
RESET ROLE;
SET LOCAL search_path = "$user", public;
