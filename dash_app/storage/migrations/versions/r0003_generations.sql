-- A generation is a set of version tables that is read as one. The pipeline points at the generation that is read; a
-- replay fills another one beside it, and one commit moves the pointer.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

ALTER TABLE pipelines ADD COLUMN generation int NOT NULL DEFAULT 1;
CREATE TABLE generations (
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  generation int NOT NULL,
  -- active: read and written; shadow: being filled; grace: read before the last swap, written until `grace_until`;
  -- ended: to be dropped; dropped: its tables are gone.
  state text NOT NULL CHECK (state IN ('active', 'shadow', 'grace', 'ended', 'dropped')),
  version int,           -- the mapping version that new payloads are written with; null until there is one
  cut bigint,            -- payloads with a smaller id that were mapped before it began come by replay; null: none do
  records bigint NOT NULL DEFAULT 0,
  rejects bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  grace_until timestamptz,
  PRIMARY KEY (pipeline_id, generation)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX generations_one_of_a_kind ON generations (pipeline_id, state) WHERE state IN ('active', 'shadow', 'grace');

ALTER TABLE silver_versions ADD COLUMN generation int NOT NULL DEFAULT 1;
ALTER TABLE silver_versions DROP CONSTRAINT silver_versions_pkey;
ALTER TABLE silver_versions ADD PRIMARY KEY (pipeline_id, generation, version);

ALTER TABLE rejects ADD COLUMN generation int NOT NULL DEFAULT 1;
CREATE INDEX rejects_generation ON rejects (pipeline_id, generation, id DESC);
CREATE INDEX rejects_payload ON rejects (pipeline_id, payload);

-- Payloads that are to be mapped again: what came of them before goes in the same transaction.
ALTER TABLE batches ADD COLUMN again boolean NOT NULL DEFAULT false;

CREATE TABLE replays (
  id uuid PRIMARY KEY,
  team_id uuid NOT NULL,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  generation int NOT NULL,          -- that it fills
  source int NOT NULL,              -- the generation that was read when it began
  version int NOT NULL,             -- the mapping version
  from_id bigint NOT NULL,          -- payloads from_id <= id < to_id are mapped; what came of others is carried over
  to_id bigint NOT NULL,
  from_time timestamptz,
  to_time timestamptz,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
  planned boolean NOT NULL DEFAULT false,
  keep_before timestamptz,          -- buckets before it are carried over, since the payloads of some are gone
  swap boolean NOT NULL DEFAULT true,
  throttle int,                     -- records a second; null: as fast as it goes
  held_until timestamptz,           -- no step begins before: how the throttle is kept
  error text NOT NULL DEFAULT '',
  author text NOT NULL DEFAULT '',
  note text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  running_since timestamptz,        -- null while it does not run
  ran interval NOT NULL DEFAULT '0',-- before running_since
  finished_at timestamptz,
  FOREIGN KEY (pipeline_id, generation) REFERENCES generations
);
CREATE INDEX replays_pipeline ON replays (pipeline_id, created_at DESC);
CREATE UNIQUE INDEX replays_one_at_a_time ON replays (pipeline_id) WHERE state IN ('queued', 'running', 'paused', 'failed');
CREATE INDEX replays_open ON replays (state) WHERE state IN ('queued', 'running');
CREATE TABLE replay_parts (
  replay_id uuid NOT NULL REFERENCES replays,
  team_id uuid NOT NULL,
  part int NOT NULL,
  kind text NOT NULL CHECK (kind IN ('map', 'carry', 'rollups')),
  low bigint NOT NULL,              -- payloads low <= id < high
  high bigint NOT NULL,
  position bigint NOT NULL,         -- payloads below it are done
  done boolean NOT NULL DEFAULT false,
  expected bigint NOT NULL DEFAULT 0, -- payloads, by the manifest
  attempts int NOT NULL DEFAULT 0,  -- since the last step that ended well
  payloads bigint NOT NULL DEFAULT 0,
  records bigint NOT NULL DEFAULT 0,
  rejects bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (replay_id, part)
) WITH (fillfactor = 70);
-- Payloads below the cut that the live road mapped after it: the replay leaves them out.
CREATE TABLE replay_live (
  pipeline_id uuid NOT NULL,
  generation int NOT NULL,
  payload bigint NOT NULL,
  team_id uuid NOT NULL,
  PRIMARY KEY (pipeline_id, generation, payload)
);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['generations', 'replays', 'replay_parts', 'replay_live'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON generations, replays TO dash_app;
GRANT SELECT ON replay_parts TO dash_app;
GRANT SELECT, DELETE ON replay_live TO dash_app;
GRANT UPDATE (records, rejects) ON pipeline_counts TO dash_app;
-- Payloads are named for another mapping by who may write; the trigger rings as the owner of the doorbell.
GRANT INSERT ON batches TO dash_app;
ALTER FUNCTION ring_for_batches() SECURITY DEFINER SET search_path = dash, pg_temp;
-- An owner under FORCE ROW LEVEL SECURITY changes no row.
ALTER TABLE generations NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pipelines NO FORCE ROW LEVEL SECURITY;
INSERT INTO generations (team_id, pipeline_id, generation, state, version) SELECT team_id, id, 1, 'active', mapping_version FROM pipelines;
ALTER TABLE generations FORCE ROW LEVEL SECURITY;
ALTER TABLE pipelines FORCE ROW LEVEL SECURITY;
RESET ROLE;
SET LOCAL search_path = "$user", public;
