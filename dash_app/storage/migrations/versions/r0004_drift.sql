-- Drift: which fields a pipeline's payloads have been seen to have, how that differs from the mapping, and what was done
-- about it.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

-- Where looking at a pipeline stands. A pipeline without a row has the policy keep and was not looked at yet.
CREATE TABLE drift (
  pipeline_id uuid PRIMARY KEY REFERENCES pipelines,
  team_id uuid NOT NULL,
  policy text NOT NULL DEFAULT 'keep' CHECK (policy IN ('evolve', 'keep', 'pause')),
  version int,                          -- the mapping version that was compared with last
  position bigint NOT NULL DEFAULT 0,   -- payloads up to this id have been passed
  looked_at timestamptz,                -- payloads of later than this are still to be looked at
  payloads bigint NOT NULL DEFAULT 0    -- looked at so far
) WITH (fillfactor = 50);

CREATE TABLE field_sightings (
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  path text NOT NULL,
  team_id uuid NOT NULL,
  kinds jsonb NOT NULL,                 -- {"number": 12, "text": 1}: how many values of each kind
  example text NOT NULL DEFAULT '',
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  payloads bigint NOT NULL,             -- in how many of the payloads looked at
  place bigint NOT NULL,                -- the last of them, counted over all that were looked at
  known text[] NOT NULL DEFAULT '{}',   -- kinds that are no news: there when the mapping was saved, or dismissed
  missed boolean NOT NULL DEFAULT false,-- its absence is no news
  proposal jsonb,                       -- fields of a mapping for it, as inference would have them
  PRIMARY KEY (pipeline_id, path)
) WITH (fillfactor = 50);

CREATE TABLE drift_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  what text NOT NULL CHECK (what IN ('new', 'changed', 'vanished', 'returned')),
  path text NOT NULL,
  before text NOT NULL,
  after text NOT NULL,
  version int NOT NULL,                 -- the mapping version it differs from
  handled text NOT NULL                 -- what was done: 'noted', 'added in version 4', 'paused'
);
CREATE INDEX drift_events_pipeline ON drift_events (pipeline_id, id DESC);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['drift', 'field_sightings', 'drift_events'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON drift, field_sightings TO dash_app;
GRANT SELECT ON drift_events TO dash_app;
RESET ROLE;
SET LOCAL search_path = "$user", public;
